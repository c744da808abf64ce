package kafka_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
	"github.com/waxwing-mq/waxwing/internal/kafka"
)

// limitTests says which test covers which limit of packages kafka and listen:
// constants by their names, settings by Kafka's. Times are tested as they are,
// on a clock that the test owns.
var limitTests = map[string]string{
	// Connections.
	"max.connections":         "listen: TestTheConnectionAboveTheLimitIsClosed, TestTheLimitMayChange",
	"Limits.FilesKept":        "listen: TestFilesAreKept",
	"Limits.HandshakeMax":     "listen: TestTLS",
	"Limits.Drain":            "listen: TestHandlersThatDoNotFinishLoseTheirConnection",
	"connections.max.idle.ms": "TestASilentConnectionIsClosed, TestAClientThatBlocksItselfIsCutOff",
	"frameTime":               "TestARequestHasItsTimeToArrive",
	"frameRate":               "TestARequestHasItsTimeToArrive",
	"writeStallMax":           "TestAClientThatDoesNotReadIsClosed",

	// What one connection may have under way.
	"repliesMax":     "TestRequestsUnderWayAreBounded",
	"repliesByteMax": "TestRequestsUnderWayAreBounded",
	"othersMax":      "TestRequestsUnderWayAreBounded",

	// Memory of all connections.
	"memoryWait":    "TestARequestWaitsForMemory",
	"loanGrace":     "TestHalfFramesDoNotStarveOthers",
	"loanGraceMin":  "TestHalvesOfSmallFramesDoNotStarveOthers",
	"loanTime":      "TestUnreadResponsesDoNotStarveOthers",
	"pressEvery":    "TestHalfFramesDoNotStarveOthers",
	"smallFrameMax": "TestRequestsBehindAWaitingOneHoldNoFrames",

	// One request.
	"frameMin":                         "TestBadInput",
	"socket.request.max.bytes":         "TestBadInput",
	"otherFrameMax":                    "TestLargeFrames",
	"elementsMax":                      "TestManyElements",
	"createTopicsMax":                  "TestCreatingTooManyTopics, TestMetadataCreatesOnlySoManyTopics",
	"configEntriesMax":                 "TestDescribingTooManySettings",
	"settingBytesMax":                  "TestSettingsAreNotLong",
	"max.request.partition.size.limit": "TestDescribeTopicPartitionsPages",

	// Fetches.
	"fetchWaitMax": "TestAFetchWaitsForTenMinutesAtMost",
	"max.incremental.fetch.session.cache.slots": "TestSessionsAreBounded",
	"sessionPartitionsMax":                      "TestSessionsRememberOnlySoMuch",
	"sessionIdle":                               "TestSessionsAreBounded",
	"topicNameMax":                              "TestSessionsRememberNoLongNames",
	"searches":                                  "TestFewSearchByTimeAtATime",

	// The log.
	"seldomEvery": "TestPeersDoNotFillTheLog",
}

// TestEveryLimitHasATest: limitTests names every constant that looks like a
// limit, and tests that exist.
func TestEveryLimitHasATest(t *testing.T) {
	tests, limits := map[string]bool{}, map[string]bool{}
	for dir, prefix := range map[string]string{".": "", "../listen": "listen: "} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !strings.HasSuffix(e.Name(), ".go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), dir+"/"+e.Name(), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range file.Decls {
				switch d := d.(type) {
				case *ast.FuncDecl:
					tests[prefix+d.Name.Name] = true
				case *ast.GenDecl:
					if d.Tok == token.CONST && !strings.HasSuffix(e.Name(), "_test.go") {
						for _, spec := range d.Specs {
							limits[spec.(*ast.ValueSpec).Names[0].Name] = true
						}
					}
				}
			}
		}
	}
	looksLikeOne := regexp.MustCompile(`(Max|Min|Wait|Idle|Time|Rate|Every|Grace)$`)
	notOne := []string{"metadataMin"} // a feature level
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		if looksLikeOne.MatchString(name) && limitTests[name] == "" && !slices.Contains(notOne, name) {
			t.Errorf("%s is a limit without a test", name)
		}
	}
	for limit, names := range limitTests {
		rest, inListen := strings.CutPrefix(names, "listen: ")
		for name := range strings.SplitSeq(rest, ", ") {
			if inListen {
				name = "listen: " + name
			}
			if !tests[name] {
				t.Errorf("%s: there is no %s", limit, name)
			}
		}
		if !strings.Contains(limit, ".") && limit != "searches" && !limits[limit] {
			t.Errorf("there is no limit %s", limit)
		}
	}
}

// bubble is a server within a synctest bubble: its clock stands still while
// anything runs.
type bubble struct {
	*node
	t     *testing.T
	taken atomic.Int64 // requests that were read
}

func newBubble(t *testing.T, options ...option) *bubble {
	x := &bubble{t: t}
	b, kc := newBroker(t, append(options, func(b *broker.Config, c *kafka.Config) {
		// Maintenance begins at round times, and so does the end of a test:
		// it may say that it was stopped.
		b.Logger = nil
		c.Advertised = func() (string, int32) { return "localhost", 1 }
		c.Metrics.BytesIn = func(int64) { x.taken.Add(1) }
	})...)
	x.node = &node{Broker: b, server: kafka.New(kc)}
	return x
}

// connect returns the client's end. ended is closed when the server has ended
// the connection.
func (x *bubble) connect() (client net.Conn, ended <-chan struct{}) {
	client, server := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		x.server.ServeConn(context.Background(), server)
	}()
	x.t.Cleanup(func() {
		client.Close()
		<-done
	})
	return client, done
}

func (x *bubble) write(c net.Conn, b []byte) {
	x.t.Helper()
	if _, err := c.Write(b); err != nil {
		x.t.Fatal(err)
	}
}

// readAll reads responses until the connection ends, and counts them.
func readAll(c net.Conn) *atomic.Int64 {
	var n atomic.Int64
	r := &raw{br: bufio.NewReader(c)}
	go func() {
		for {
			if _, err := r.frame(); err != nil {
				return
			}
			n.Add(1)
		}
	}()
	return &n
}

// lasted fails unless the connection ends after that time, or a little more.
func lasted(t *testing.T, begun time.Time, ended <-chan struct{}, want time.Duration) {
	t.Helper()
	<-ended
	if took := time.Since(begun); took < want || took > want+10*time.Millisecond {
		t.Errorf("the connection lasted %v, want %v", took, want)
	}
}

// TestASilentConnectionIsClosed after connections.max.idle.ms, unless it waits
// for an answer.
func TestASilentConnectionIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBubble(t)
		begun := time.Now()
		_, ended := x.connect()
		lasted(t, begun, ended, 10*time.Minute)
	})
	synctest.Test(t, func(t *testing.T) {
		x := newBubble(t, setting("connections.max.idle.ms", "60000"))
		topic := x.topic(t, "idle", 1)
		begun := time.Now()
		client, ended := x.connect()
		got := readAll(client)
		req := fetchOf(1, topic)
		req.MinBytes, req.MaxWaitMillis = 1, 150_000
		x.write(client, encode(req, 12, 1))
		lasted(t, begun, ended, 180*time.Second) // three times idle, twice of them with a fetch under way
		if got.Load() != 1 {
			t.Error("the fetch was not answered")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		x := newBubble(t, setting("connections.max.idle.ms", "-1"))
		_, ended := x.connect()
		select {
		case <-ended:
			t.Error("closed, though it may be silent for ever")
		case <-time.After(20 * time.Hour):
		}
	})
}

// TestARequestHasItsTimeToArrive once it has begun: 30 seconds, and more for a
// large one.
func TestARequestHasItsTimeToArrive(t *testing.T) {
	small := encode(&kmsg.ApiVersionsRequest{}, 0, 1)
	large := make([]byte, 4+10<<20) // a produce
	large[1] = 0xa0
	for name, c := range map[string]struct {
		frame []byte
		first int           // bytes that come at once
		rest  time.Duration // when the others come; 0: never
		want  time.Duration // how long the connection lasts; 0: it is answered
	}{
		"its length only":       {small, 4, 0, 30 * time.Second},
		"a part of it":          {small, 9, 0, 30 * time.Second},
		"the rest just in time": {small, 9, 29 * time.Second, 0},
		"the rest too late":     {small, 9, 31 * time.Second, 30 * time.Second},
		"a part of a large one": {large, 5 << 20, 0, 40 * time.Second},
		"little of a large one": {large, 100, 0, 40 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newBubble(t)
				begun := time.Now()
				client, ended := x.connect()
				got := readAll(client)
				x.write(client, c.frame[:c.first])
				if c.rest > 0 {
					time.Sleep(c.rest)
					client.Write(c.frame[c.first:])
				}
				if c.want > 0 {
					<-ended
					if c.rest == 0 {
						lasted(t, begun, ended, c.want)
					} else if got.Load() != 0 {
						t.Error("it was answered")
					}
					return
				}
				synctest.Wait()
				if got.Load() != 1 {
					t.Error("it was not answered")
				}
			})
		})
	}
}

// TestAClientThatDoesNotReadIsClosed, after a minute in which it took nothing.
func TestAClientThatDoesNotReadIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBubble(t)
		begun := time.Now()
		client, ended := x.connect()
		x.write(client, encode(&kmsg.ApiVersionsRequest{}, 0, 1))
		lasted(t, begun, ended, time.Minute)
	})
	synctest.Test(t, func(t *testing.T) {
		x := newBubble(t)
		client, _ := x.connect()
		x.write(client, encode(&kmsg.ApiVersionsRequest{}, 0, 1))
		time.Sleep(59 * time.Second)
		if _, err := (&raw{br: bufio.NewReader(client)}).frame(); err != nil {
			t.Errorf("one that reads in time: %v", err)
		}
	})
}

// TestARequestWaitsForMemory for half a minute; then its connection ends.
func TestARequestWaitsForMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBubble(t)
		release := x.server.HoldWork()
		begun := time.Now()
		client, ended := x.connect()
		x.write(client, encode(&kmsg.ApiVersionsRequest{}, 0, 1))
		lasted(t, begun, ended, 30*time.Second)
		patient, _ := x.connect()
		got := readAll(patient)
		x.write(patient, encode(&kmsg.ApiVersionsRequest{}, 0, 1))
		time.Sleep(29 * time.Second)
		release()
		synctest.Wait()
		if got.Load() != 1 {
			t.Error("the memory was there in time, and the request is not answered")
		}
	})
}

// waiting is a fetch that waits for a second, in a frame of that size at least:
// bytes after the request do not matter.
func waiting(x *bubble, size int) []byte {
	wait := requestsFor(x.t, x.node, "orders").fetch(0)
	wait.MinBytes, wait.MaxWaitMillis = 1, 1000
	b := encode(wait, 12, 1)
	b = append(b, make([]byte, max(0, size-len(b)))...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// TestRequestsUnderWayAreBounded: a connection is not read further while it has
// so many requests, or so many bytes of them, that are not answered. Nothing is
// lost.
func TestRequestsUnderWayAreBounded(t *testing.T) {
	for name, c := range map[string]struct {
		request func(*bubble) []byte
		send    int
		want    int64 // requests that are taken before any is answered
	}{
		"produces": {func(x *bubble) []byte { return encode(requestsFor(x.t, x.node, "orders").produce("v"), 9, 1) }, 600, 512},
		"others":   {func(x *bubble) []byte { return waiting(x, 0) }, 40, 16},
		"bytes":    {func(x *bubble) []byte { return waiting(x, 6_000_000) }, 15, 64 << 20 / 6_000_000},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var slow atomic.Bool
				goOn := make(chan struct{})
				d := mem.New(mem.Options{FileBytes: 128 << 20, BeforeSync: func(string) {
					if slow.Load() {
						<-goOn
					}
				}})
				x := newBubble(t, onDisk(t, d))
				x.topic(t, "orders", 5)
				frame := c.request(x)
				slow.Store(true)
				client, _ := x.connect()
				got := readAll(client)
				go func() {
					for range c.send {
						if _, err := client.Write(frame); err != nil {
							return
						}
					}
				}()
				synctest.Wait()
				if taken := x.taken.Load(); taken != c.want {
					t.Errorf("%d requests were taken, want %d", taken, c.want)
				}
				slow.Store(false)
				close(goOn)
				for range 20 { // the fetches wait for a second
					time.Sleep(time.Second)
				}
				if got.Load() != int64(c.send) {
					t.Errorf("%d of %d requests were answered", got.Load(), c.send)
				}
			})
		})
	}
}

// TestSessionsRememberOnlySoMuch: beyond it a fetch gets no session, and one
// that grows too much ends.
func TestSessionsRememberOnlySoMuch(t *testing.T) {
	n := start(t)
	n.server.SetSessionPartitionsMax(10)
	topic := n.topic(t, "orders", 12)
	conn := n.dial(t)
	open := func(partitions int) int32 {
		t.Helper()
		req := fetchOf(partitions, topic)
		req.SessionEpoch = 0
		resp := conn.ask(req, 12).(*kmsg.FetchResponse)
		if resp.ErrorCode != 0 || len(resp.Topics[0].Partitions) != partitions {
			t.Fatalf("got %+v", resp)
		}
		return resp.SessionID
	}
	if open(11) != 0 {
		t.Error("a session of 11 partitions, and 10 are the most")
	}
	first := open(6)
	if first == 0 || open(5) != 0 {
		t.Error("sessions of 6 and 5 partitions, and 10 are the most together")
	}
	second := open(4)
	more := fetchOf(5, topic)
	more.SessionID, more.SessionEpoch = second, 1
	if resp := conn.ask(more, 12).(*kmsg.FetchResponse); second == 0 || resp.ErrorCode != kerr.FetchSessionIDNotFound.Code {
		t.Errorf("session %d has grown: %+v", second, resp)
	}
	again := fetchOf(0)
	again.SessionID, again.SessionEpoch = first, 1
	if resp := conn.ask(again, 12).(*kmsg.FetchResponse); resp.ErrorCode != 0 {
		t.Errorf("the other one: %+v", resp)
	}
	if open(4) == 0 {
		t.Error("what the session had is not free")
	}
}

// TestCreatingTooManyTopics in one request creates none.
func TestCreatingTooManyTopics(t *testing.T) {
	n := start(t)
	req := kmsg.NewPtrCreateTopicsRequest()
	for i := range 10_001 {
		req.Topics = append(req.Topics, newTopic(fmt.Sprint("topic-", i), 1, 1))
	}
	resp := n.dial(t).ask(req, 7).(*kmsg.CreateTopicsResponse)
	if len(resp.Topics) != len(req.Topics) {
		t.Fatalf("%d topics", len(resp.Topics))
	}
	for _, rt := range resp.Topics {
		if rt.ErrorCode != kerr.PolicyViolation.Code {
			t.Fatalf("%+v", rt)
		}
	}
	if len(n.Topics()) != 0 {
		t.Error("topics were created")
	}
}
