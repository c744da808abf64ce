package broker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/broker/access"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
	"github.com/waxwing-mq/waxwing/internal/broker/route"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
)

// inVHost is a session in a vhost that declares.
type inVHost struct {
	t       *testing.T
	vhost   *broker.VHost
	session *broker.Session
}

// enter opens a session in a vhost.
func (f *fixture) enter(t *testing.T, name string) *inVHost {
	t.Helper()
	v, ok := f.VHost(name)
	if !ok {
		t.Fatalf("no vhost %q", name)
	}
	return &inVHost{t, v, v.NewSession(deaf{})}
}

func (in *inVHost) declare(name string, exclusive bool) error {
	spec := queue.Spec{Name: name, Durable: true, Settings: queue.NoSettings()}
	if exclusive {
		spec.Exclusive = in.session.Connection()
	}
	r, err := in.session.Call(context.Background(), &queue.Declare{Spec: spec})
	if err == nil && r.(*queue.DeclareReply).Err != queue.OK {
		err = errors.New("refused")
	}
	return err
}

func (in *inVHost) bind(source, name string) error {
	return in.vhost.Bind(context.Background(), route.Bind{Source: source, Destination: route.Destination{Kind: route.ToQueue, Name: name}, Key: "k"})
}

func noErr(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestVHosts: a vhost is made with its exchanges, in any shard; with its end all
// of it goes, also what is exclusive to somebody who is still there, who can make
// nothing new; and one of the same name is empty.
func TestVHosts(t *testing.T) {
	for _, shards := range []int{1, 3} {
		t.Run(fmt.Sprint(shards, " shards"), func(t *testing.T) {
			f := newFixture(t, shards)
			ctx := context.Background()
			names := []string{"a", "c", "d", "g"}
			in := map[int]bool{}
			for _, name := range names {
				in[broker.VHostShard(f.Broker, name)] = true
			}
			if len(in) != shards {
				t.Fatalf("the vhosts are in %d of %d shards", len(in), shards)
			}
			for _, name := range names {
				added, err := f.AddVHost(ctx, name, "")
				if err != nil || !added {
					t.Fatal(added, err)
				}
				in := f.enter(t, name)
				for i := range 3 {
					noErr(t, in.declare(fmt.Sprint("q", i), i == 1))
					noErr(t, in.bind("amq.direct", fmt.Sprint("q", i)))
				}
			}
			if added, err := f.AddVHost(ctx, "a", "quorum"); err != nil || added {
				t.Fatal(added, err)
			}
			if v, _ := f.VHost("a"); v.DefaultQueueType() != "quorum" || len(v.Queues()) != 3 {
				t.Errorf("changed: type %q, %d queues", v.DefaultQueueType(), len(v.Queues()))
			}
			stays := f.enter(t, "a")
			old, _ := f.VHost("a")
			noErr(t, f.DeleteVHost(ctx, "a"))
			if _, ok := f.VHost("a"); ok {
				t.Error("the vhost is still there")
			}
			if got := len(old.Queues()) + len(old.Exchanges()) + len(old.Bindings()); got != 0 {
				t.Errorf("%d things are left of it", got)
			}
			var re *route.Error
			if err := stays.declare("late", false); !errors.As(err, &re) || re.Kind != route.NotFound {
				t.Errorf("a queue in a vhost that is gone: %v", err)
			}
			if err := old.DeclareExchange(ctx, route.Declare{Name: "late", Type: "direct"}); !errors.As(err, &re) || re.Kind != route.NotFound {
				t.Errorf("an exchange in a vhost that is gone: %v", err)
			}
			stays.session.Close()

			check := func() {
				t.Helper()
				for _, name := range names[1:] {
					v, ok := f.VHost(name)
					if !ok || len(v.Bindings()) != len(v.Queues()) || len(v.Queues()) < 2 {
						t.Errorf("vhost %q has lost something", name)
					}
				}
			}
			check()
			f.restart()
			check()
			if _, ok := f.VHost("a"); ok {
				t.Error("the vhost came back")
			}
			added, err := f.AddVHost(ctx, "a", "")
			if err != nil || !added {
				t.Fatal(added, err)
			}
			if v, _ := f.VHost("a"); len(v.Queues()) != 0 || len(v.Bindings()) != 0 || len(v.Exchanges()) == 0 {
				t.Error("a new vhost of the name is not as new")
			}
		})
	}
}

// TestVHostDeletionSurvivesACrash: what a crash leaves of a vhost that was
// deleted goes at the next start.
func TestVHostDeletionSurvivesACrash(t *testing.T) {
	f := newFixture(t, 3)
	ctx := context.Background()
	for _, name := range []string{"a", "b", "c"} {
		_, err := f.AddVHost(ctx, name, "")
		noErr(t, err)
		in := f.enter(t, name)
		noErr(t, in.declare("q", false))
		noErr(t, f.ChangeAccess(ctx, func(d *access.Durable) ([]access.Entry, error) { return d.DecideDeleteVHost(name) }))
		if len(in.vhost.Queues()) != 1 {
			t.Fatal("the crash came too late for this test")
		}
	}
	f.restart()
	for _, name := range []string{"a", "b", "c"} {
		_, err := f.AddVHost(ctx, name, "")
		noErr(t, err)
		if v, _ := f.VHost(name); len(v.Queues()) != 0 {
			t.Errorf("the queue of vhost %q came back", name)
		}
	}
	if got := f.Leftovers(); !slices.Equal(got, []string{"/", "a", "b", "c"}) {
		t.Errorf("vhosts with exchanges: %q", got)
	}
}

// TestManyQueuesOfAVHost: more queues than go in one call.
func TestManyQueuesOfAVHost(t *testing.T) {
	f := newFixture(t, 1)
	ctx := context.Background()
	_, err := f.AddVHost(ctx, "a", "")
	noErr(t, err)
	in := f.enter(t, "a")
	const queues = 2*1000 + 1
	for i := range queues {
		noErr(t, in.declare(fmt.Sprint(i), false))
	}
	noErr(t, f.DeleteVHost(ctx, "a"))
	if n := len(in.vhost.Queues()); n != 0 {
		t.Errorf("%d of %d queues are left", n, queues)
	}
}

// TestVHostsAreRefused as others are that cannot be.
func TestVHostsAreRefused(t *testing.T) {
	f := newFixture(t, 1)
	ctx := context.Background()
	_, noType := f.AddVHost(ctx, "x", "lazy")
	_, noName := f.AddVHost(ctx, "", "")
	for what, c := range map[string]struct {
		err  error
		want access.ErrorKind
	}{
		"a queue type that is none": {noType, access.Invalid},
		"no name":                   {noName, access.Invalid},
		"deletion of nothing":       {f.DeleteVHost(ctx, "x"), access.NotFound},
		"deletion of the topics'":   {f.DeleteVHost(ctx, "/"), access.Invalid},
	} {
		var e *access.Error
		if !errors.As(c.err, &e) || e.Kind != c.want {
			t.Errorf("%s: %v", what, c.err)
		}
	}
	if _, ok := f.VHost("/"); !ok {
		t.Error("the vhost / is gone")
	}
}

// TestVHostThatOneShardHasNoRoomFor is deleted all the same, and what is in it goes
// once there is room, also after a start on the full disk; one of the name is not
// made anew before.
func TestVHostThatOneShardHasNoRoomFor(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		t.Run(fmt.Sprint("restarted ", restarted), func(t *testing.T) {
			d := mem.New(mem.Options{Seed: 1, FileBytes: 1 << 20})
			f := onMemShards(t, d, 3)
			t.Cleanup(func() { f.close() })
			ctx := context.Background()
			parts := f.create("t", 3, nil).Partitions
			busy := parts[0]
			for busy.Shard() == 0 { // where the users are
				busy = parts[busy.Index()+1]
			}
			name := ""
			for i := 0; name == "" || broker.VHostShard(f.Broker, name) != busy.Shard(); i++ {
				name = fmt.Sprint("v", i)
			}
			_, err := f.AddVHost(ctx, name, "")
			noErr(t, err)
			noErr(t, f.enter(t, name).declare("q", false))
			f.exhaust(d, busy)
			noErr(t, f.DeleteVHost(ctx, name))
			if _, ok := f.VHost(name); ok {
				t.Error("the vhost is still there")
			}
			if !slices.Contains(f.Leftovers(), name) {
				t.Fatal("there was room: nothing is left over")
			}
			if _, err := f.AddVHost(ctx, name, ""); kindOf(err) != broker.StorageFull {
				t.Errorf("made anew over what is left: %v", err)
			}
			if restarted {
				f.close()
				f = onMemShards(t, d, 3)
			}
			d.SetFree(-1)
			f.rest(1)
			if got := f.Leftovers(); slices.Contains(got, name) {
				t.Errorf("vhosts with exchanges: %q", got)
			}
			_, err = f.AddVHost(ctx, name, "")
			noErr(t, err)
			if v, _ := f.VHost(name); len(v.Queues()) != 0 {
				t.Error("its queue came back")
			}
		})
	}
}

// TestVHostDeletionDoesNotStopHalfway: who asked for it may go away.
func TestVHostDeletionDoesNotStopHalfway(t *testing.T) {
	f := newFixture(t, 3)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := f.AddVHost(ctx, "a", "")
	noErr(t, err)
	in := f.enter(t, "a")
	noErr(t, in.declare("q", false))
	noErr(t, f.DeleteVHost(ctx, "a"))
	if n := len(in.vhost.Queues()); n != 0 {
		t.Errorf("%d queues are left", n)
	}
}
