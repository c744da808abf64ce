package access

import (
	"sync"
	"testing"
)

// viewWith is a view of a founded broker with user u, who may write to what
// begins with "out-", and use keys of their own name with exchange x.
func viewWith(t interface{ Fatal(...any) }) *View {
	v, d := NewView(), NewDurable()
	entries := append(d.DecideFound(0, [SaltBytes]byte{1}),
		UserStored{User{Name: "u", Password: HashPassword(SHA256, [SaltBytes]byte{2}, "p")}},
		PermissionsSet{Grant{"u", "/", Permissions{"", "^out-", ".*"}}},
		TopicPermissionsSet{TopicGrant{"u", "/", "x", TopicPermissions{`^{username}\.`, ".*"}}},
	)
	if err := v.Apply(entries...); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestReadersSeeWholeApplies swaps two users' rights while others ask: exactly
// one has them, or, between two questions, it changed.
func TestReadersSeeWholeApplies(t *testing.T) {
	v := viewWith(t)
	none, all := Permissions{}, Permissions{".*", ".*", ".*"}
	set := func(guest, u Permissions) {
		if err := v.Apply(PermissionsSet{Grant{"guest", "/", guest}}, PermissionsSet{Grant{"u", "/", u}}); err != nil {
			t.Error(err)
		}
	}
	set(all, none)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				rights := 0
				for _, g := range v.Grants() {
					if g.Permissions == all {
						rights++
					}
				}
				if rights != 1 {
					t.Errorf("%d users have all rights", rights)
					return
				}
				v.Allow("u", "/", Write, "q")
				v.AllowTopic("u", "/", "x", Write, "u.k")
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for range 300 {
		set(none, all)
		set(all, none)
	}
	close(stop)
	wg.Wait()
}

func TestStoredNonsenseMatchesNothing(t *testing.T) {
	v := viewWith(t)
	if err := v.Apply(PermissionsSet{Grant{"u", "/", Permissions{"(", "(", "("}}}); err != nil {
		t.Fatal(err)
	}
	for r := range rights {
		if v.Allow("u", "/", r, "(") {
			t.Errorf("%v is allowed", r)
		}
	}
	if !v.MayEnter("u", "/") {
		t.Error("the user may not enter")
	}
}

func TestRightsThatAreNone(t *testing.T) {
	v := viewWith(t)
	if v.Allow("guest", "/", rights, "q") || v.AllowTopic("u", "/", "x", Configure, "u.k") {
		t.Error("a right that is none is granted")
	}
}

func TestTags(t *testing.T) {
	u, there := viewWith(t).User("guest")
	if !there || !u.HasTag("administrator") || u.HasTag("admin") || !u.LoopbackOnly {
		t.Errorf("%+v, %v", u, there)
	}
	if _, there := viewWith(t).VHost("/"); !there {
		t.Error("no vhost /")
	}
	if _, there := viewWith(t).VHost("x"); there {
		t.Error("a vhost x")
	}
}

func TestQuestionsAllocateNothing(t *testing.T) {
	v := viewWith(t)
	for name, ask := range map[string]func() bool{
		"everything": func() bool { return v.Allow("guest", "/", Write, "out-1") },
		"pattern":    func() bool { return v.Allow("u", "/", Write, "out-1") },
		"no topic":   func() bool { return v.AllowTopic("u", "/", "y", Write, "k") },
		"enter":      func() bool { return v.MayEnter("u", "/") },
	} {
		if !ask() {
			t.Errorf("%s: refused", name)
		}
		if n := testing.AllocsPerRun(100, func() { ask() }); n != 0 {
			t.Errorf("%s: %.0f allocations", name, n)
		}
	}
}

func BenchmarkAllow(b *testing.B) {
	v := viewWith(b)
	for _, user := range []string{"guest", "u"} {
		b.Run(user, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !v.Allow(user, "/", Write, "out-orders") {
					b.Fatal("refused")
				}
			}
		})
	}
}

func BenchmarkAllowTopic(b *testing.B) {
	v := viewWith(b)
	b.ReportAllocs()
	for b.Loop() {
		if !v.AllowTopic("u", "/", "x", Write, "u.orders.eu") {
			b.Fatal("refused")
		}
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	v := viewWith(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := v.Authenticate("guest", "guest", true); err != nil {
			b.Fatal(err)
		}
	}
}
