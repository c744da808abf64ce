package kafka

import "github.com/twmb/franz-go/pkg/kmsg"

// MemoryIsFree reports whether no request and no response holds memory any
// more.
func (s *Server) MemoryIsFree() bool {
	for _, b := range []*budget{s.frames.small, s.frames.large, s.work, s.responses} {
		b.mu.Lock()
		quiet := len(b.loans) == 0 && b.waiting == 0 && b.wanted == 0
		b.mu.Unlock()
		if !quiet || !b.free.TryAcquire(b.total) {
			return false
		}
		b.free.Release(b.total)
	}
	return true
}

// HoldSearches keeps all searches by time waiting until release is called.
func (s *Server) HoldSearches() (release func()) {
	for range cap(s.searches) {
		s.searches <- struct{}{}
	}
	return func() {
		for range cap(s.searches) {
			<-s.searches
		}
	}
}

// CheckProduce does to a frame what comes before the broker: header, shape,
// decoding, validation. It returns how many batches are to be appended.
func (s *Server) CheckProduce(frame []byte) (int, error) {
	h, rest, err := parseHeader(frame)
	if err != nil {
		return 0, err
	}
	a := findAPI(h.key)
	body, err := h.finish(rest, h.version >= a.flexibleFrom)
	if err != nil {
		return 0, err
	}
	if _, err := checkShape(a.shape, h.version, h.flexible, body); err != nil {
		return 0, err
	}
	p := &produceCall{c: &conn{s: s}}
	p.req.Version, p.resp.Version = h.version, h.version
	if err := p.req.UnsafeReadFrom(body); err != nil {
		return 0, err
	}
	p.build()
	return len(p.append.Items), nil
}

// AppendMetadata answers a request for all topics.
func (s *Server) AppendMetadata(dst []byte) []byte {
	req := kmsg.NewPtrMetadataRequest()
	req.SetVersion(12)
	return s.metadata(&request{version: 12}, req).AppendTo(dst)
}

// FetchEncoding returns a function that encodes a response about n partitions
// of 10 topics and says how long it is.
func FetchEncoding(n int) func() int64 {
	about := make([]fetchResult, n)
	for i := range about {
		about[i].want = &fetchWant{key: partitionKey{id: [16]byte{byte(i * 10 / n)}, index: int32(i)}}
	}
	return func() int64 {
		r := encodeFetch(&reply{}, 13, nil, 0, about, leader{}, false)
		defer r.close()
		return r.size
	}
}

// HoldWork takes all memory of decoded requests until release is called. It is
// no loan, so nobody can call it in.
func (s *Server) HoldWork() (release func()) {
	if !s.work.free.TryAcquire(s.work.total) {
		panic("some of the memory is in use")
	}
	return func() { s.work.free.Release(s.work.total) }
}

// SetSessionPartitionsMax bounds what all fetch sessions remember, before the
// first connection.
func (s *Server) SetSessionPartitionsMax(n int) { s.sessions.partitionsMax = n }

// FetchLooks is how often fetches have looked at a partition.
func (s *Server) FetchLooks() int64 { return s.looks.Load() }
