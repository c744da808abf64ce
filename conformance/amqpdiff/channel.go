package amqpdiff

import "slices"

// channel is what a client knows of one of its channels.
type channel struct {
	noAck    map[string]bool // by consumer tag
	getNoAck bool            // of the last basic.get
	tag      uint64          // the last that came
	held     []held          // not settled, ascending by tag
	settled  []held          // since the last commit, of a channel with transactions
	tx       bool

	confirming bool
	published  []string // message ids since confirm.select; "" once confirmed
	pending    int      // of these, not confirmed
	early      []string // mandatory messages that came back
}

type held struct {
	tag   uint64
	label string
}

func newChannel() *channel { return &channel{noAck: map[string]bool{}} }

// deliver takes a delivery; tags have to ascend by one.
func (ch *channel) deliver(o *Outcome, where string, tag uint64, noAck bool, label string) {
	if tag != ch.tag+1 {
		o.add(where+" tags", "%d after %d", tag, ch.tag)
	}
	ch.tag = tag
	if !noAck {
		ch.held = append(ch.held, held{tag, label})
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
