package topic

import (
	"bytes"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/enc"
)

func TestCollidingNames(t *testing.T) {
	c := NewCatalog()
	for i, name := range []string{"a.b", "plain", "x_y.z"} {
		c.ApplyCreated(&Created{ID: ID{byte(i + 1)}, Name: name})
	}
	check := func(c *Catalog, want map[string]string) {
		t.Helper()
		for name, other := range want {
			if got := c.Colliding(name); got != other {
				t.Errorf("%q collides with %q, want %q", name, got, other)
			}
		}
	}
	all := map[string]string{
		"a.b": "", "a_b": "a.b", "plain": "", "x.y.z": "x_y.z", "x_y_z": "x_y.z", "x_y.z": "", "a-b": "", "ab": "",
	}
	check(c, all)
	restored := NewCatalog()
	r := enc.NewReader(c.Snapshot(nil))
	if err := restored.Restore(&r); err != nil || !bytes.Equal(restored.Snapshot(nil), c.Snapshot(nil)) {
		t.Fatal("a restored catalogue differs: ", err)
	}
	check(restored, all)
	c.ApplyDeleted(&Deleted{ID: ID{1}})
	check(c, map[string]string{"a_b": "", "a.b": "", "x.y_z": "x_y.z"})
	// A log of an earlier version may hold two that collide.
	c.ApplyCreated(&Created{ID: ID{5}, Name: "a.b"})
	c.ApplyCreated(&Created{ID: ID{6}, Name: "a_b"})
	c.ApplyDeleted(&Deleted{ID: ID{6}})
	check(c, map[string]string{"a_b": "a.b", "a.b": ""})
}
