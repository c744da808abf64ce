package kafka

import (
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/record"
	"github.com/waxwing-mq/waxwing/internal/settings"
)

// Produce (key 0), versions 3 to 13; 0 to 2 are advertised and not served.
//
// Behaviour: every batch is validated on the connection's goroutine (size,
// checksum, records, timestamps) and submitted; the next request is read while
// this one waits to be durable. acks=1 and acks=all mean the same: on disk.
// acks=0 gets no response, and an error closes the connection, so that the
// client looks for its leader again. The timeout is not used: there is nobody
// else to wait for.
//
// Version notes: from 3 on a partition has exactly one batch, of magic 2. From
// 7 on it may be compressed with zstd. From 8 on errors name records. 13 names
// topics by id.

// produceCall is one request on its way. The frame of its call, which req and
// the batches alias, is held until everything is durable.
type produceCall struct {
	c      *conn
	call   call
	weight int64
	reply  *reply // nil if acks=0
	req    kmsg.ProduceRequest
	resp   kmsg.ProduceResponse
	append broker.AppendRequest
	places []*kmsg.ProduceResponseTopicPartition // of each item of append
	failed error                                 // the first, for acks=0

	transactional bool // refused, because it belongs to a transaction
}

// produce owns the call from here on, unless it fails.
func (c *conn) produce(k *call) error {
	p := &produceCall{c: c, weight: int64(len(k.frame.b))}
	p.req.Version, p.resp.Version = k.header.version, k.header.version
	if err := p.req.UnsafeReadFrom(k.body); err != nil {
		return fmt.Errorf("%s version %d: %w", kmsg.Produce.Name(), k.header.version, err)
	}
	if p.req.Acks != 0 {
		p.reply = newReply(&k.header, len(k.frame.b))
		p.reply.prompt, p.reply.message = true, &p.resp
	}
	p.build()
	if p.transactional {
		c.s.refuseTransaction(kmsg.Produce, k.header.clientID, c.host, text(p.req.TransactionID))
	}
	p.call, *k = *k, call{}
	if p.reply != nil {
		c.replies.add(p.reply)
	} else {
		c.replies.addSilent(p.weight)
	}
	if len(p.append.Items) == 0 {
		p.done(nil)
		return nil
	}
	p.append.Done = p.done
	c.s.broker.Append(c.ctx, &p.append)
	return nil
}

// build validates the batches, fills the response with what is wrong, and the
// append with the rest.
func (p *produceCall) build() {
	whole := p.refusal()
	p.resp.Topics = make([]kmsg.ProduceResponseTopic, len(p.req.Topics))
	if n := len(p.req.Topics); n == 1 {
		p.append.Items = make([]broker.AppendItem, 0, len(p.req.Topics[0].Partitions))
		p.places = make([]*kmsg.ProduceResponseTopicPartition, 0, len(p.req.Topics[0].Partitions))
	}
	for i := range p.req.Topics {
		rt := &p.req.Topics[i]
		t := &p.resp.Topics[i]
		t.TopicID = rt.TopicID
		t.Partitions = make([]kmsg.ProduceResponseTopicPartition, len(rt.Partitions))
		topic, err := p.c.s.topic(p.req.Version >= 13, rt.Topic, rt.TopicID)
		switch {
		case err != nil:
			t.Topic = strings.Clone(rt.Topic)
		case internal(topic.Name):
			err = kerr.InvalidTopicException
			fallthrough
		default:
			t.Topic = topic.Name
		}
		if whole != nil {
			err = whole
		}
		for j := range rt.Partitions {
			place := &t.Partitions[j]
			place.Default()
			place.Partition = rt.Partitions[j].Partition
			place.BaseOffset, place.LogAppendTime = -1, -1
			p.addPartition(place, topic, rt.Partitions[j].Records, err)
		}
	}
}

// refusal is what is wrong with the request as a whole.
func (p *produceCall) refusal() error {
	switch {
	case p.req.Acks < -1 || p.req.Acks > 1:
		return kerr.InvalidRequiredAcks
	case p.req.TransactionID != nil:
		p.transactional = true
		return errTransactions
	}
	return nil
}

func (p *produceCall) addPartition(place *kmsg.ProduceResponseTopicPartition, t *broker.Topic, batch []byte, err error) {
	var part *broker.Partition
	if err == nil {
		part, err = partition(t, place.Partition)
	}
	if err != nil {
		p.refuse(place, err)
		return
	}
	info, err := p.validate(t, batch)
	if err != nil {
		p.refuse(place, err)
		return
	}
	if info.LogAppendTime() {
		place.LogAppendTime = info.MaxTimestamp
	}
	p.places = append(p.places, place)
	p.append.Items = append(p.append.Items, broker.AppendItem{Partition: part, Batch: batch, Header: info.Header})
}

// validate checks the one batch of a partition against the topic's settings.
func (p *produceCall) validate(t *broker.Topic, batch []byte) (record.Info, error) {
	if len(batch) == 0 {
		return record.Info{}, refuse(kerr.InvalidRecord, "a partition must have exactly one record batch")
	}
	st := &t.Settings
	info, err := record.Validate(batch, record.ValidateOptions{
		MaxBytes:        int(st.MaxMessageBytes),
		ZstdAllowed:     p.req.Version >= 7,
		NowMillis:       p.c.s.cfg.Now().UnixMilli(),
		LogAppendTime:   st.TimestampType == settings.LogAppendTime,
		CheckTimestamps: true,
		BeforeMaxMillis: st.TimestampBeforeMax.Milliseconds(),
		AfterMaxMillis:  st.TimestampAfterMax.Milliseconds(),
	})
	if err == nil && info.Transactional() {
		p.transactional = true
		err = errTransactions
	}
	return info, err
}

// refuse answers a partition with an error.
func (p *produceCall) refuse(place *kmsg.ProduceResponseTopicPartition, err error) {
	place.ErrorCode, place.ErrorMessage = code(err), message(err)
	place.BaseOffset, place.LogAppendTime, place.LogStartOffset = -1, -1, -1
	var re *record.Error
	if errors.As(err, &re) && re.Record >= 0 {
		e := kmsg.NewProduceResponseTopicPartitionErrorRecord()
		e.RelativeOffset, e.ErrorMessage = int32(re.Record), place.ErrorMessage
		place.ErrorRecords = append(place.ErrorRecords, e)
	}
	if p.failed == nil {
		p.failed = err
	}
}

// done is called by the broker once everything is durable.
func (p *produceCall) done(*broker.AppendRequest) { p.c.protect(p.answer) }

func (p *produceCall) answer() {
	for i := range p.append.Items {
		it, place := &p.append.Items[i], p.places[i]
		if it.Err != nil {
			p.refuse(place, it.Err)
			continue
		}
		place.BaseOffset, place.LogStartOffset = it.Base, it.Start
	}
	p.c.s.count(&p.resp)
	p.call.frame.release()
	if p.reply != nil {
		p.reply.work, p.call.work = p.call.work, share{}
		p.c.complete(p.reply)
		return
	}
	p.call.release()
	if p.failed != nil {
		p.c.fail(fmt.Errorf("a produce with acks=0 failed: %w", p.failed))
	}
	p.c.replies.silentDone(p.weight)
}
