package inbox

import (
	"crypto/sha256"
	"strconv"
	"strings"

	"github.com/waxwing-mq/waxwing/bus"
)

// level is by which kind of row a message is known.
type level int

const (
	byNothing level = iota
	byEvent
	byPosition
	bySequence
)

// An item is a message with what it is known by.
type item struct {
	d        *bus.Delivery
	level    level
	keyCol   []byte // the key as columns hold it
	eventKey []byte // byEvent
	epoch    string // bySequence
	seq      int64  // bySequence

	apart *bus.Delivery // d, opened in a transaction of its own: for a demonstration only
}

// identity finds out by what a message is known.
func (o *options) identity(d *bus.Delivery) item {
	it := item{d: d, keyCol: column(d.Key), eventKey: []byte{}}
	epoch, seq, ok := sequence(d)
	sealed := o.sealedID(d)
	switch {
	case sealed != "":
		it.level, it.eventKey = byEvent, column(sealed)
	case ok && d.Key != "" && !(d.Shared && d.ID != ""):
		it.level, it.epoch, it.seq = bySequence, epoch, seq
	case !ok && o.perPartition && d.Position != nil:
		it.level = byPosition
	default:
		if id := o.eventID(d); id != "" {
			it.level, it.eventKey = byEvent, column(id)
		}
	}
	return it
}

// byPlace is what the names of events begin with that have a place and nothing else.
const byPlace = "\x00\x02"

// bySeal is what the names of sealed events begin with.
const bySeal = "\x00\x03"

// sealedID names a sealed event, by what nobody else can say: "" if it is none.
func (o *options) sealedID(d *bus.Delivery) string {
	if o.opener == nil {
		return ""
	}
	id := o.opener.SealedID(d)
	if id == nil {
		return ""
	}
	return bySeal + string(id)
}

// eventID names an event: "" if nothing does.
func (o *options) eventID(d *bus.Delivery) string {
	if d.ID != "" {
		return named(d.Source, d.ID)
	}
	if o.identify != nil {
		if id := o.identify(d); id != "" {
			return "\x00\x01" + id // no source's
		}
	}
	if d.Position != nil {
		return byPlace + d.Position.String()
	}
	return ""
}

// named is the name of an event by source and id. Where the last slash is not the one
// between the two, it says how long the source is.
func named(source, id string) string {
	if strings.Contains(id, "/") || strings.HasPrefix(source, "\x00") {
		return "\x00\x00" + strconv.Itoa(len(source)) + ":" + source + "/" + id
	}
	return source + "/" + id
}

// epochMax is what the column takes.
const epochMax = 64

// sequence reads bus.HeaderSequence, "epoch:number".
func sequence(d *bus.Delivery) (epoch string, n int64, ok bool) {
	h := d.Header(bus.HeaderSequence)
	if h == nil {
		return "", 0, false
	}
	text := string(h)
	at := strings.LastIndexByte(text, ':')
	if at < 1 || at > epochMax || strings.IndexFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0 {
		return "", 0, false
	}
	n, err := strconv.ParseInt(text[at+1:], 10, 64)
	return text[:at], n, err == nil
}

// columnMax is how long a key in an index may be.
const columnMax = 255

// column is a key as the columns of indexes hold it: itself, or a hash if it is long.
func column(key string) []byte {
	if len(key) <= columnMax {
		return []byte(key)
	}
	sum := sha256.Sum256([]byte(key))
	return append([]byte("sha256:"), sum[:]...)
}
