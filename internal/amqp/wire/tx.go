package wire

// The class tx (90): publishes and acknowledgements of a channel together.

// TxSelect (90.10) turns transactions on for the channel.
type TxSelect struct{}

// ID is IDTxSelect.
func (*TxSelect) ID() ID { return IDTxSelect }

func (*TxSelect) layout(c coder) coder { return c }

// TxSelectOk (90.11) answers Select.
type TxSelectOk struct{}

// ID is IDTxSelectOk.
func (*TxSelectOk) ID() ID { return IDTxSelectOk }

func (*TxSelectOk) layout(c coder) coder { return c }

// TxCommit (90.20) carries out what the channel published and acknowledged.
type TxCommit struct{}

// ID is IDTxCommit.
func (*TxCommit) ID() ID { return IDTxCommit }

func (*TxCommit) layout(c coder) coder { return c }

// TxCommitOk (90.21) answers Commit.
type TxCommitOk struct{}

// ID is IDTxCommitOk.
func (*TxCommitOk) ID() ID { return IDTxCommitOk }

func (*TxCommitOk) layout(c coder) coder { return c }

// TxRollback (90.30) forgets what the channel published and acknowledged.
type TxRollback struct{}

// ID is IDTxRollback.
func (*TxRollback) ID() ID { return IDTxRollback }

func (*TxRollback) layout(c coder) coder { return c }

// TxRollbackOk (90.31) answers Rollback.
type TxRollbackOk struct{}

// ID is IDTxRollbackOk.
func (*TxRollbackOk) ID() ID { return IDTxRollbackOk }

func (*TxRollbackOk) layout(c coder) coder { return c }
