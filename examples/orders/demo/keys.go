package demo

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/examples/orders/contract"
	"github.com/waxwing-mq/waxwing/examples/orders/payment"
	"github.com/waxwing-mq/waxwing/examples/orders/service"
	"github.com/waxwing-mq/waxwing/seal"
	"github.com/waxwing-mq/waxwing/seal/directory"
	"github.com/waxwing-mq/waxwing/waxtest"
)

// sealed are the services that seal to each other.
var sealed = []string{"order", "payment"}

// keyLanes is in how many lanes they do.
const keyLanes = 4

// keyLines are a service's keys, as its process is told them.
type keyLines struct{ Identity, Storage, Root []byte }

// newKeys makes a root, and the keys of those who seal.
func newKeys() (map[string]*keyLines, error) {
	root, err := seal.NewRoot()
	if err != nil {
		return nil, err
	}
	all := map[string]*keyLines{}
	for _, name := range sealed {
		id, err := seal.NewIdentity(name)
		if err != nil {
			return nil, err
		}
		cert, err := root.Issue(seal.Certificate{Name: name, Key: id.Key(), Lanes: keyLanes, NotBefore: time.Now(), NotAfter: time.Now().AddDate(0, 0, 1)})
		if err != nil {
			return nil, err
		}
		id, err = id.WithCertificate(cert)
		storage, err2 := seal.NewStorageKey(1)
		if err := errors.Join(err, err2); err != nil {
			return nil, err
		}
		all[name] = &keyLines{id.Encode(), storage.Encode(), root.Public().Encode()}
	}
	return all, nil
}

// keys are the keys that lines say, with the broker's directory. Without lines there are
// none.
func (k *keyLines) keys(url string) (*service.Keys, error) {
	if k == nil {
		return nil, nil
	}
	id, err := seal.DecodeIdentity(k.Identity)
	storage, err2 := seal.DecodeStorageKey(k.Storage)
	root, err3 := seal.ParseRootKey(k.Root)
	dir, err4 := directory.NewClient(directory.Config{URL: url, User: "guest", Password: "guest", Timeout: 5 * time.Second})
	if err := errors.Join(err, err2, err3, err4); err != nil {
		return nil, err
	}
	ring, err := seal.NewKeyRing(storage)
	return &service.Keys{Identity: id, Storage: ring, Root: root, Directory: dir}, err
}

// cardMarker is what all cards begin with. It is to be seen nowhere on the wire.
const cardMarker = "demo-card-"

// showsCard says whether anybody who has a message can read a card in it.
func showsCard(m *bus.Message) bool {
	has := func(text string) bool { return bytes.Contains([]byte(text), []byte(cardMarker)) }
	return bytes.Contains(m.Body, []byte(cardMarker)) || has(m.Topic) || has(m.Key) || has(m.ID) || has(m.Type) || has(m.Source) ||
		slices.ContainsFunc(m.Headers, func(h bus.Header) bool { return has(h.Name) || bytes.Contains(h.Value, []byte(cardMarker)) })
}

// cardsIn is how many cards can be read in the files of a folder.
func cardsIn(folder string) (n int, err error) {
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		n += bytes.Count(text, []byte(cardMarker))
		return err
	})
	return n, err
}

// plaintext are the messages that showed a card, by id.
func (t *trial) plaintext() []string {
	all := map[string]bool{}
	for _, s := range t.senders {
		for _, id := range s.plain {
			all[id] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// opened is how many payments were opened that order had sealed.
func (t *trial) opened() (n int) {
	for _, p := range t.before.paid {
		if o := t.plan[p.Order]; o != nil && p == t.sealedOf(o) {
			n++
		}
	}
	return n
}

// sealedOf is how an order should have been paid.
func (t *trial) sealedOf(o *plannedOrder) payment.Paid {
	return payment.Paid{Order: o.id, Card: o.card, SealedBy: "order"}
}

// checkSealed checks that each charge was by the card of its order, which order had
// sealed, and that nobody else could read a card.
func (t *trial) checkSealed() (found []waxtest.Violation) {
	bad := func(format string, args ...any) {
		found = append(found, waxtest.Violation{Check: "payment details are sealed", What: fmt.Sprintf(format, args...)})
	}
	if n := len(t.plaintext()); n > 0 {
		bad("%d messages showed a card on the wire, such as %s", n, t.plaintext()[0])
	}
	if t.onDisk > 0 {
		bad("the broker's files show cards in %d places", t.onDisk)
	}
	if want, n := len(t.charges()), t.opened(); n != want {
		bad("%d that order had sealed were opened, of %d", n, want)
	}
	for _, p := range t.before.paid {
		if o := t.plan[p.Order]; o == nil || p != t.sealedOf(o) {
			bad("order %s was paid by card %q, sealed by %q", p.Order, p.Card, p.SealedBy)
		}
	}
	return found
}

// charges are the orders that are charged, whatever comes after it.
func (t *trial) charges() (out []string) {
	for id, o := range t.plan {
		if slices.Contains(o.steps, plannedStep{"payment", "charge", "action"}) {
			out = append(out, id)
		}
	}
	return out
}

// payment is an order as its request has it.
func (o *plannedOrder) payment() contract.Payment {
	return contract.Payment{Order: o.Order, Card: o.card}
}
