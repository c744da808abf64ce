package kafka

import (
	"log/slog"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// errTransactions answers everything that belongs to a transaction. Of the
// codes that fit, every client takes this one as fatal and does not retry.
var errTransactions = refuse(kerr.TransactionalIDAuthorizationFailed, "transactions are not in this version of Waxwing")

// refuseTransaction tells the operator what errTransactions, whose code reads
// like one of missing rights, does not tell the client's user: that nobody has
// transactions yet.
func (s *Server) refuseTransaction(api kmsg.Key, clientID, host, transactionalID string) {
	s.refused.log(s.cfg.Logger, slog.LevelWarn, "a client was refused a transaction: they are not in this version of Waxwing",
		"client", short(clientID), "from", host, "api", APIName(api.Int16()), "transactional id", short(transactionalID))
}

// short is what the log shows of a text that a client chose.
func short(s string) string {
	const most = 100
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
