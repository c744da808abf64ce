package kafka

import (
	"container/list"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker"
)

// Fetch sessions (KIP-227): the server remembers what partitions a client
// fetches and what it last said about each, so that a fetch carries only
// changes. A request names a session id and an epoch:
//
//	(any, -1)  no session; the one of that id ends
//	(any,  0)  a new session; the one of that id ends
//	(id,   n)  the next fetch of a session; n counts from 1 and wraps to 1
//
// The response to a new session carries its id, 0 if there is none to be had.

const (
	// sessionPartitionsMax bounds what all sessions remember. 250,000
	// partitions take about 50 MiB.
	sessionPartitionsMax = 250_000
	// topicNameMax is the longest name of a topic. Sessions remember no
	// longer ones, which a client could make very long.
	topicNameMax = 249
	// sessionIdle is how long a session must have been unused to be evicted
	// for a new one, so that clients that open one for each fetch do not
	// take those of others.
	sessionIdle = 2 * time.Minute
)

// fetchWant is what a client wants of one partition.
type fetchWant struct {
	key         partitionKey
	epoch       int32 // the leader epoch that the client knows; -1: none
	lastFetched int32 // the epoch of the last record that it has; -1: none
	offset      int64
	maxBytes    int32

	part *broker.Partition // nil: not looked for yet, or not there

	// What an incremental session last said; -1: nothing, or an error.
	highWatermark, start int64
}

// partitionKey names a partition by the topic's name (up to version 12) or id.
type partitionKey struct {
	name  string
	id    [16]byte
	index int32
}

// fetchSession is what the server remembers of one client.
type fetchSession struct {
	id int32
	// turn is held by the fetch that uses the session: whoever sends holds
	// it. What follows is the holder's.
	turn  chan struct{}
	wants fetchWants
	byID  bool // topics are named by id

	// Guarded by sessions.mu.
	epoch   int32
	counted int // partitions that count against sessions.partitionsMax
	used    time.Time
	lru     *list.Element
	gone    bool
}

// sessions are all sessions of a server.
type sessions struct {
	slots         int
	partitionsMax int // of all together
	now           func() time.Time

	mu      sync.Mutex
	byID    map[int32]*fetchSession
	lru     *list.List // of *fetchSession, the one used last in front
	counted int
}

func newSessions(slots int, now func() time.Time) *sessions {
	return &sessions{slots: slots, partitionsMax: sessionPartitionsMax, now: now, byID: map[int32]*fetchSession{}, lru: list.New()}
}

// create makes a session for these wants; nil if there is no room.
func (ss *sessions) create(wants fetchWants, byID bool) *fetchSession {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	n := len(wants.list)
	if n == 0 || ss.slots == 0 || n > ss.partitionsMax || wants.longName {
		return nil
	}
	for len(ss.byID) >= ss.slots || ss.counted+n > ss.partitionsMax {
		oldest := ss.lru.Back().Value.(*fetchSession)
		if ss.now().Sub(oldest.used) < sessionIdle {
			return nil
		}
		ss.remove(oldest)
	}
	s := &fetchSession{
		turn: make(chan struct{}, 1), wants: wants, byID: byID,
		epoch: 1, counted: n, used: ss.now(),
	}
	for s.id == 0 || ss.byID[s.id] != nil {
		s.id = rand.Int32()
	}
	ss.byID[s.id], s.lru = s, ss.lru.PushFront(s)
	ss.counted += s.counted
	return s
}

// size is how many partitions the session of that id has; 0 if there is none.
func (ss *sessions) size(id int32) int {
	if id == 0 {
		return 0
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if s := ss.byID[id]; s != nil {
		return s.counted
	}
	return 0
}

// end ends a session, if there is one with that id.
func (ss *sessions) end(id int32) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if s := ss.byID[id]; s != nil {
		ss.remove(s)
	}
}

// remove takes a session out. mu is held.
func (ss *sessions) remove(s *fetchSession) {
	if !s.gone {
		s.gone = true
		delete(ss.byID, s.id)
		ss.lru.Remove(s.lru)
		ss.counted -= s.counted
	}
}

// next finds the session that a request continues, and counts its epoch on.
func (ss *sessions) next(id, epoch int32, byID bool) (*fetchSession, error) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	s := ss.byID[id]
	switch {
	case s == nil:
		return nil, kerr.FetchSessionIDNotFound
	case s.epoch != epoch:
		return nil, kerr.InvalidFetchSessionEpoch
	case s.byID != byID:
		return nil, kerr.FetchSessionTopicIDError
	}
	if s.epoch++; s.epoch <= 0 {
		s.epoch = 1
	}
	s.used = ss.now()
	ss.lru.MoveToFront(s.lru)
	return s, nil
}

// update takes a request's changes into the session. The caller has its turn.
// It fails, and the session is gone, if there is no room for more partitions.
func (ss *sessions) update(s *fetchSession, req *kmsg.FetchRequest) error {
	s.wants.add(req)
	if len(req.ForgottenTopics) > 0 {
		s.wants.forget(req.ForgottenTopics)
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if s.gone {
		return nil
	}
	n := len(s.wants.list)
	ss.counted += n - s.counted
	s.counted = n
	if ss.counted > ss.partitionsMax || s.wants.longName {
		ss.remove(s)
		return kerr.FetchSessionIDNotFound
	}
	return nil
}

// fetchWants is what a client wants, each partition once, in the order in
// which they were first named.
type fetchWants struct {
	list     []*fetchWant
	byKey    map[partitionKey]*fetchWant
	longName bool // a topic is named that no topic can be
}

// newWants has room for n.
func newWants(n int) fetchWants {
	return fetchWants{list: make([]*fetchWant, 0, n), byKey: make(map[partitionKey]*fetchWant, n)}
}

// add takes over what a request names.
func (ws *fetchWants) add(req *kmsg.FetchRequest) {
	for i := range req.Topics {
		rt := &req.Topics[i]
		ws.longName = ws.longName || len(rt.Topic) > topicNameMax
		for k := range rt.Partitions {
			w := newWant(rt, &rt.Partitions[k])
			if old := ws.byKey[w.key]; old != nil {
				old.change(w)
				continue
			}
			ws.byKey[w.key] = w
			ws.list = append(ws.list, w)
		}
	}
}

func (ws *fetchWants) forget(topics []kmsg.FetchRequestForgottenTopic) {
	for i := range topics {
		for _, index := range topics[i].Partitions {
			delete(ws.byKey, partitionKey{topics[i].Topic, topics[i].TopicID, index})
		}
	}
	kept := ws.list[:0]
	for _, w := range ws.list {
		if ws.byKey[w.key] == w {
			kept = append(kept, w)
		}
	}
	clear(ws.list[len(kept):])
	ws.list = kept
}

func newWant(rt *kmsg.FetchRequestTopic, p *kmsg.FetchRequestTopicPartition) *fetchWant {
	return &fetchWant{
		key:   partitionKey{rt.Topic, rt.TopicID, p.Partition},
		epoch: p.CurrentLeaderEpoch, lastFetched: p.LastFetchedEpoch,
		offset: p.FetchOffset, maxBytes: p.PartitionMaxBytes,
		highWatermark: -1, start: -1,
	}
}

// change takes over what a later request says.
func (w *fetchWant) change(to *fetchWant) {
	w.epoch, w.lastFetched, w.offset, w.maxBytes = to.epoch, to.lastFetched, to.offset, to.maxBytes
}
