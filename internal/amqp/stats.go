package amqp

import "sync/atomic"

// Stats count what a Server has done since it was made, over all connections;
// Connections and Channels are those that are open. Messages of streams count as
// those of queues.
type Stats struct {
	Connections  int64
	Channels     int64
	Published    int64 // messages that came whole, by basic.publish
	Confirmed    int64 // of those in confirm mode, with basic.ack
	Refused      int64 // likewise, with basic.nack
	Unroutable   int64 // messages that no queue was bound for
	Returned     int64 // mandatory ones of these, with basic.return
	Delivered    int64 // messages written to sockets, by basic.deliver and basic.get-ok
	Acknowledged int64 // deliveries, with basic.ack
}

// counters are Stats that count.
type counters struct {
	connections, channels                               atomic.Int64
	published, confirmed, refused, unroutable, returned atomic.Int64
	delivered, acknowledged                             atomic.Int64
}

// Stats returns the counts. It may be called from any goroutine.
func (s *Server) Stats() Stats {
	c := &s.counters
	return Stats{
		Connections: c.connections.Load(), Channels: c.channels.Load(), Published: c.published.Load(),
		Confirmed: c.confirmed.Load(), Refused: c.refused.Load(), Unroutable: c.unroutable.Load(),
		Returned: c.returned.Load(), Delivered: c.delivered.Load(), Acknowledged: c.acknowledged.Load(),
	}
}
