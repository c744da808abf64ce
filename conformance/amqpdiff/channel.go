package amqpdiff

import "slices"

// channel is what a client knows of one of its channels.
type channel struct {
	noAck    map[string]bool   // by consumer tag
	getNoAck bool              // of the last basic.get
	getQueue string            // of the last basic.get
	declared string            // the queue that was declared last
	of       map[string]string // the queue of each consumer tag, cancelled or not
	ended    map[string]bool   // consumer tags that were cancelled
	tag      uint64            // the last that came
	held     []held            // not settled, ascending by tag
	settled  []held            // since the last commit, of a channel with transactions
	tx       bool

	confirming bool
	published  []string // message ids since confirm.select; "" once confirmed
	pending    int      // of these, not confirmed
	early      []string // mandatory messages that came back
}

// held is a delivery of a queue to a consumer, or an answer to basic.get.
type held struct {
	tag      uint64
	label    string
	queue    string
	consumer string // "" of basic.get
}

func newChannel() *channel {
	return &channel{noAck: map[string]bool{}, of: map[string]string{}, ended: map[string]bool{}}
}

// deliver takes a delivery; tags have to ascend by one.
func (ch *channel) deliver(o *Outcome, where string, noAck bool, h held) {
	if h.tag != ch.tag+1 {
		o.add(where+" tags", "%d after %d", h.tag, ch.tag)
	}
	ch.tag = h.tag
	if !noAck {
		ch.held = append(ch.held, h)
	}
}

// holding is how many answers to basic.get, and how many consumers that were
// cancelled, hold messages of a queue.
func (ch *channel) holding(queue string) (n int) {
	cancelled := map[string]bool{}
	for _, h := range slices.Concat(ch.held, ch.settled) {
		switch {
		case h.queue != queue:
		case h.consumer == "":
			n++
		case ch.ended[h.consumer]:
			cancelled[h.consumer] = true
		}
	}
	return n + len(cancelled)
}

// forget takes note that what is held of a queue is nobody's, since the queue is
// gone.
func (ch *channel) forget(queue string) {
	for _, all := range [][]held{ch.held, ch.settled} {
		for i := range all {
			if all[i].queue == queue {
				all[i].queue = ""
			}
		}
	}
}

func (ch *channel) returned(id string) { ch.early = append(ch.early, id) }

// confirm takes a confirm: every message once, in any order.
func (ch *channel) confirm(o *Outcome, where string, tag uint64, multiple bool, what string) {
	first := tag
	if multiple {
		first = 1
	}
	if tag == 0 || tag > uint64(len(ch.published)) {
		o.add(where+" confirms", "%s unknown %d", what, tag)
		return
	}
	for n := first; n <= tag; n++ {
		id := ch.published[n-1]
		if id == "" {
			if !multiple {
				o.add(where+" confirms", "%s %d twice", what, n)
			}
			continue
		}
		ch.published[n-1] = ""
		ch.pending--
		came := ""
		if slices.Contains(ch.early, id) {
			came = " after its return"
		}
		o.add(where+" confirm "+id, "%s%s", what, came)
	}
}

// settle takes the deliveries that a settlement is about.
func (ch *channel) settle(tag uint64, multiple bool) {
	keep := ch.held[:0:0]
	for _, h := range ch.held {
		if h.tag == tag || multiple && (tag == 0 || h.tag < tag) {
			if ch.tx {
				ch.settled = append(ch.settled, h)
			}
		} else {
			keep = append(keep, h)
		}
	}
	ch.held = keep
}

// rollback gives back what was settled since the last commit.
func (ch *channel) rollback() {
	ch.held = append(ch.held, ch.settled...)
	ch.settled = nil
	slices.SortFunc(ch.held, func(a, b held) int { return int(a.tag) - int(b.tag) })
}

// labels are what the channel holds, in order.
func (ch *channel) labels() []string {
	var out []string
	for _, h := range ch.held {
		out = append(out, h.label)
	}
	return out
}
