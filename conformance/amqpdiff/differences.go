package amqpdiff

import (
	"regexp"
	"slices"
	"strings"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

// A Difference is a place where Waxwing means to do something else than
// RabbitMQ. docs/rabbitmq-differences.md says why.
type Difference struct {
	Name string
	// Is says whether what the brokers brought is this difference, at the step
	// that script[at] is.
	Is func(script []Step, at int, waxwing, rabbit []string) bool
	// Without, if not nil, takes out of lines what the difference is about, so
	// that others can be seen beside it. Of, if not nil, says whether a script
	// may show it at all.
	Without func(lines []string) []string
	Of      func(script []Step) bool
}

// wordsDiffer is a difference that is a matter of single words of lines.
func wordsDiffer(name string, of func(script []Step) bool, without func(lines []string) []string) Difference {
	is := func(script []Step, _ int, waxwing, rabbit []string) bool {
		return of(script) && slices.Equal(without(waxwing), without(rabbit))
	}
	return Difference{Name: name, Is: is, Without: without, Of: of}
}

// differences are all of them.
var differences = []Difference{
	{Name: "rabbitmq-fails", Is: func(script []Step, at int, waxwing, rabbit []string) bool {
		m := method[*wire.QueueDeclare](script, at)
		return m != nil && m.Queue == "" && has(rabbit, "connection.close ReplyCode=541") && has(waxwing, "channel.close ReplyCode=406")
	}},
	{Name: "unknown-method", Is: func(script []Step, at int, waxwing, rabbit []string) bool {
		return has(waxwing, "connection.close ReplyCode=540") && has(rabbit, "ended", "without a word")
	}},
	{Name: "quorum-global-qos", Is: func(script []Step, at int, waxwing, rabbit []string) bool {
		if method[*wire.BasicConsume](script, at) != nil && !has(waxwing, "connection.close") && has(rabbit, "connection.close ReplyCode=540") {
			return true
		}
		// Or the limit came after the consumer: then it is not refused, and does not hold.
		return declares(script, quorum) && slices.ContainsFunc(script, limitsChannel) && deliveries(waxwing) < deliveries(rabbit) &&
			!slices.ContainsFunc(onlyIn(waxwing, rabbit), isNoDelivery) && !slices.ContainsFunc(onlyIn(rabbit, waxwing), isNoDelivery)
	}},
	{Name: "quorum-delete-if", Is: func(script []Step, at int, waxwing, rabbit []string) bool {
		m := method[*wire.QueueDelete](script, at)
		return m != nil && (m.IfUnused || m.IfEmpty) && !has(waxwing, "connection.close") && has(rabbit, "connection.close ReplyCode=540")
	}},
	{Name: "quorum-exclusive-consumer", Is: func(script []Step, at int, waxwing, rabbit []string) bool {
		return method[*wire.BasicConsume](script, at) != nil && has(waxwing, "channel.close ReplyCode=403") && !has(rabbit, "channel.close") && declares(script, quorum)
	}},
	{Name: "quorum-reject-publish", Is: takesMore},
	{Name: "tx-is-atomic", Is: commits},
	{Name: "quorum-tx-deleted", Is: func(script []Step, at int, waxwing, rabbit []string) bool {
		deletes := func(s Step) bool {
			m, ok := s.Method.(*wire.QueueDelete)
			return ok && declared(script, m.Queue, quorum)
		}
		return method[*wire.TxCommit](script, at) != nil && slices.ContainsFunc(script[:at], deletes) &&
			has(waxwing, "channel.close ReplyCode=406") && !has(waxwing, "tx.commit-ok") && has(rabbit, "tx.commit-ok")
	}},
	{Name: "priority-expiry", Is: keepsExpired},
	wordsDiffer("dead-letter-delivery-count", func(script []Step) bool { return declares(script, quorum) }, withoutCounts),
	{Name: "close-is-atomic", Is: func(script []Step, at int, waxwing, rabbit []string) bool {
		ends := at == len(script) || script[at].Leave || method[*wire.ChannelClose](script, at) != nil
		reversed := declares(script, quorum) && slices.Equal(unordered(withoutCounts(waxwing)), unordered(withoutCounts(rabbit)))
		return ends && (has(rabbit, " consumer ") || reversed) && declares(script, deadLetters) && sameEnds(waxwing, rabbit)
	}},
	{Name: "dead-letter-overtakes", Is: func(script []Step, at int, waxwing, rabbit []string) bool {
		atOnce := method[*wire.BasicPublish](script, at) != nil && expiresAtOnce(script[at]) || declares(script, keepsNothing)
		return atOnce && declares(script, deadLetters) && declares(script, quorum) && sameEnds(waxwing, rabbit)
	}},
	{Name: "quorum-fading-consumer", Is: goesOn},
	{Name: "quorum-requeue-priority", Is: func(script []Step, at int, waxwing, rabbit []string) bool {
		return declares(script, quorumWithoutLimit) && slices.ContainsFunc(script, isHigh) && slices.ContainsFunc(script, requeues) &&
			slices.Equal(streams(waxwing), streams(rabbit)) && sameEnds(waxwing, rabbit)
	}},
	{Name: "qos-counts-get", Is: delivers},
	{Name: "qos-turn", Is: func(script []Step, at int, waxwing, rabbit []string) bool {
		return sharesLimit(script) && !slices.ContainsFunc(onlyIn(waxwing, rabbit), isNoDelivery) && !slices.ContainsFunc(onlyIn(rabbit, waxwing), isNoDelivery) &&
			(deliveries(waxwing) == deliveries(rabbit) || slices.ContainsFunc(script, withoutAcks))
	}},
	{Name: "mandatory-reply", Is: func(script []Step, at int, waxwing, rabbit []string) bool {
		returned := onlyIn(rabbit, waxwing)
		m := method[*wire.BasicPublish](script, at)
		return m != nil && m.Mandatory && len(returned) == 1 && has(returned, " return ", `key "@`) && len(onlyIn(waxwing, rabbit)) == 0
	}},
	wordsDiffer("dead-letter-cc", func([]Step) bool { return true }, withoutCC),
}

// commits is tx-is-atomic: what a transaction publishes and gives back is delivered in
// another order, to other consumers, or is over a limit.
func commits(script []Step, at int, waxwing, rabbit []string) bool {
	if method[*wire.TxCommit](script, at) == nil { // or what came of one earlier
		before := slices.ContainsFunc(script[:at], func(s Step) bool { _, ok := s.Method.(*wire.TxCommit); return ok })
		return before && declares(script, deadLetters) && slices.Equal(unordered(waxwing), unordered(rabbit))
	}
	if has(waxwing, "channel.close ReplyCode=406") && has(rabbit, "tx.commit-ok") && declares(script, rejects) {
		return true
	}
	waxwing, rabbit = whoever(waxwing), whoever(rabbit)
	if slices.Equal(waxwing, rabbit) {
		return true
	}
	dropped := func(line string) bool { return isMessage(line) && strings.Contains(line, "reason:S(maxlen)") }
	return declares(script, limited) && messages(waxwing) <= messages(rabbit) && sameConsumers(waxwing, rabbit) &&
		!slices.ContainsFunc(onlyThere(waxwing, rabbit), func(line string) bool { return !isCount(line) && !dropped(line) }) &&
		!slices.ContainsFunc(onlyThere(rabbit, waxwing), func(line string) bool { return !isCount(line) && !isMessage(line) })
}

// goesOn is quorum-fading-consumer: a consumer of a quorum queue with a single active
// one gets from Waxwing what RabbitMQ still has in that queue.
func goesOn(script []Step, _ int, waxwing, rabbit []string) bool {
	for _, line := range slices.Concat(onlyIn(waxwing, rabbit), onlyIn(rabbit, waxwing)) {
		if name, ok := queueOf(script, line); !ok || !declared(script, name, quorumThatFades) {
			return false
		}
	}
	return slices.ContainsFunc(script, hasPriority) && deliveries(waxwing) > deliveries(rabbit) && messages(waxwing) == messages(rabbit) && sameConsumers(waxwing, rabbit)
}

// takesMore is quorum-reject-publish: of what is published to a quorum queue with
// reject-publish one broker takes more than the other. It concerns whether a message
// is confirmed, and what that queue has and delivers.
func takesMore(script []Step, at int, waxwing, rabbit []string) bool {
	concerned := func(line string) bool {
		name, ok := queueOf(script, line)
		return ok && declared(script, name, quorumThatRejects) || strings.Contains(line, " confirm ")
	}
	for _, line := range slices.Concat(onlyIn(waxwing, rabbit), onlyIn(rabbit, waxwing)) {
		if !concerned(line) {
			return false
		}
	}
	return declares(script, quorumThatRejects) && sameConsumers(waxwing, rabbit) && eachAtMostOnce(script, at, waxwing, rabbit)
}

// eachAtMostOnce says whether a step that publishes one message, and settles none,
// makes one message of difference in a queue at most.
func eachAtMostOnce(script []Step, at int, waxwing, rabbit []string) bool {
	if method[*wire.BasicPublish](script, at) == nil {
		return true
	}
	for _, line := range waxwing {
		if name, ok := queueOf(script, line); ok {
			if d := messagesOf(script, waxwing, name) - messagesOf(script, rabbit, name); d < -1 || d > 1 {
				return false
			}
		}
	}
	return true
}

// keepsExpired is priority-expiry: RabbitMQ has messages in a queue with priorities
// that Waxwing has not any more, and Waxwing has their dead letters.
func keepsExpired(script []Step, _ int, waxwing, rabbit []string) bool {
	if !declares(script, priorities) || !slices.ContainsFunc(script, expires) || messages(waxwing) > messages(rabbit) || !sameConsumers(waxwing, rabbit) {
		return false
	}
	for _, line := range onlyIn(waxwing, rabbit) {
		name, ok := queueOf(script, line)
		switch {
		case !ok:
			return false
		case isCount(line):
			more := messagesOf(script, waxwing, name) - messagesOf(script, rabbit, name)
			if more < 0 && !declared(script, name, priorities) || more > 0 && !declares(script, prioritiesAndDeadLetters) {
				return false
			}
		}
	}
	for _, line := range onlyThere(waxwing, rabbit) {
		if isMessage(line) && !strings.Contains(line, "reason:S(expired)") {
			return false
		}
	}
	return !slices.ContainsFunc(onlyThere(rabbit, waxwing), func(line string) bool { return !isCount(line) })
}

// delivers is qos-counts-get: a channel with a global limit that has got messages
// gets more deliveries from Waxwing. What RabbitMQ does not deliver there is in the
// queue, or another consumer gets it.
func delivers(script []Step, _ int, waxwing, rabbit []string) bool {
	got := map[string]bool{}
	more := 0
	for _, line := range waxwing {
		if strings.Contains(line, " consumer ") {
			got[what(line)] = true
			more += countsGets(script, line)
		}
	}
	for _, line := range rabbit {
		if strings.Contains(line, " consumer ") {
			if !got[what(line)] {
				return false
			}
			more -= countsGets(script, line)
		}
	}
	return more > 0 && messages(waxwing) == messages(rabbit) && sameConsumers(waxwing, rabbit) &&
		!slices.ContainsFunc(onlyIn(waxwing, rabbit), isNoDelivery) && !slices.ContainsFunc(onlyIn(rabbit, waxwing), isNoDelivery)
}

// countsGets is 1 for a delivery on a channel that has a global limit and messages of
// basic.get, and 0 for others.
func countsGets(script []Step, line string) int {
	m := ofConsumer.FindStringSubmatch(line)
	limits, got := false, false
	for _, s := range script {
		if onChannel(s, m) {
			limits, got = limits || limitsChannel(s), got || gets(s)
		}
	}
	if limits && got {
		return 1
	}
	return 0
}

// method is the method of a step, nil if it is no such one.
func method[M wire.Method](script []Step, at int) M {
	var m M
	if at < len(script) {
		m, _ = script[at].Method.(M)
	}
	return m
}

// declares says whether a script declares a queue with such arguments.
func declares(script []Step, such func(wire.Table) bool) bool {
	for at := range script {
		if m := method[*wire.QueueDeclare](script, at); m != nil && such(m.Arguments) {
			return true
		}
	}
	return false
}

func quorum(t wire.Table) bool {
	v, _ := t.Get("x-queue-type")
	text, _ := v.Text()
	return text == "quorum"
}

func rejects(t wire.Table) bool {
	v, _ := t.Get("x-overflow")
	text, _ := v.Text()
	return strings.HasPrefix(text, "reject-publish")
}

func quorumThatRejects(t wire.Table) bool { return quorum(t) && rejects(t) }

func quorumThatFades(t wire.Table) bool {
	v, _ := t.Get("x-single-active-consumer")
	yes, _ := v.Bool()
	return yes && quorum(t)
}

func quorumWithoutLimit(t wire.Table) bool {
	v, _ := t.Get("x-delivery-limit")
	n, ok := v.Int()
	return ok && n < 0 && quorum(t)
}

// isHigh says whether a step publishes what has a high priority in a quorum queue.
func isHigh(s Step) bool { return s.Content != nil && s.Content.Properties.Priority > 4 }

// requeues says whether a step gives back what may be had again.
func requeues(s Step) bool {
	switch m := s.Method.(type) {
	case *wire.BasicNack:
		return m.Requeue
	case *wire.BasicReject:
		return m.Requeue
	case *wire.BasicRecover, *wire.BasicRecoverAsync:
		return true
	}
	return false
}

func hasPriority(s Step) bool {
	m, ok := s.Method.(*wire.BasicConsume)
	if ok {
		_, ok = m.Arguments.Get("x-priority")
	}
	return ok
}

func deadLetters(t wire.Table) bool {
	_, ok := t.Get("x-dead-letter-exchange")
	return ok
}

// limited says whether a queue drops what is over a limit.
func limited(t wire.Table) bool {
	_, messages := t.Get("x-max-length")
	_, bytes := t.Get("x-max-length-bytes")
	return messages || bytes
}

// keepsNothing says whether a queue dead-letters all that comes.
func keepsNothing(t wire.Table) bool {
	v, _ := t.Get("x-max-length")
	n, ok := v.Int()
	return ok && n == 0 && deadLetters(t)
}

func limitsChannel(s Step) bool {
	m, ok := s.Method.(*wire.BasicQos)
	return ok && m.Global && m.PrefetchCount > 0
}

// sharesLimit says whether a script has a channel with a global limit and several
// consumers.
func sharesLimit(script []Step) bool {
	type channel struct {
		conn   int
		number uint16
	}
	limited, consumers := map[channel]bool{}, map[channel]int{}
	for _, s := range script {
		at := channel{s.Conn, s.Channel}
		limited[at] = limited[at] || limitsChannel(s)
		if _, ok := s.Method.(*wire.BasicConsume); ok {
			consumers[at]++
		}
		if limited[at] && consumers[at] > 1 {
			return true
		}
	}
	return false
}

// sameEnds says whether the same channels and connections ended, for the same
// reasons. Where a difference is of deliveries, they do.
func sameEnds(waxwing, rabbit []string) bool {
	others := func(line string) bool {
		return !strings.Contains(line, ".close ") && !strings.Contains(line, " ended ")
	}
	return slices.Equal(slices.DeleteFunc(slices.Clone(waxwing), others), slices.DeleteFunc(slices.Clone(rabbit), others))
}

// streams say of which stream each line is, and at which place, but not what came.
func streams(lines []string) (out []string) {
	for _, line := range lines {
		out = append(out, line[:place.FindStringIndex(line)[1]])
	}
	return out
}

// withoutAcks says whether a step starts a consumer that the limit does not hold for.
func withoutAcks(s Step) bool {
	m, ok := s.Method.(*wire.BasicConsume)
	return ok && m.NoAck
}

// deliveries is how many messages consumers got.
func deliveries(lines []string) (n int) {
	for _, line := range lines {
		if strings.Contains(line, " consumer ") {
			n++
		}
	}
	return n
}

// onlyIn are the lines that the others have not.
func onlyIn(lines, others []string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return slices.Contains(others, line) })
}

// isNoDelivery says whether a line is neither a delivery nor what a queue is left
// with.
func isNoDelivery(line string) bool {
	return !strings.Contains(line, " consumer ") && !strings.HasPrefix(line, "queue ")
}

func gets(s Step) bool {
	m, ok := s.Method.(*wire.BasicGet)
	return ok && !m.NoAck
}

func priorities(t wire.Table) bool {
	_, ok := t.Get("x-max-priority")
	return ok
}

func prioritiesAndDeadLetters(t wire.Table) bool { return priorities(t) && deadLetters(t) }

// expires says whether a step publishes something that is to expire, or has a
// queue do so.
func expires(s Step) bool {
	if s.Content != nil {
		return s.Content.Properties.Flags.Has(wire.PropExpiration)
	}
	m, ok := s.Method.(*wire.QueueDeclare)
	if ok {
		_, ok = m.Arguments.Get("x-message-ttl")
	}
	return ok
}

var place = regexp.MustCompile(`#\d+`)

// unordered are lines that do not say in which order they came.
func unordered(lines []string) (out []string) {
	for _, line := range lines {
		out = append(out, place.ReplaceAllString(line, ""))
	}
	slices.Sort(out)
	return out
}

// expiresAtOnce says whether a step publishes what no queue keeps, unless it is
// behind another message.
func expiresAtOnce(s Step) bool {
	return s.Content != nil && s.Content.Properties.Flags.Has(wire.PropExpiration) && s.Content.Properties.Expiration == "0"
}

var counts = regexp.MustCompile(` again|x-delivery-count:l\(\d+\), `)

// withoutCounts are lines in which no dead letter says that it was delivered
// before.
func withoutCounts(lines []string) []string { return inDeadLetters(lines, counts) }

var copies = regexp.MustCompile(`CC:\[[^\]]*\], `)

// withoutCC are lines in which no dead letter has a CC header.
func withoutCC(lines []string) []string { return inDeadLetters(lines, copies) }

// inDeadLetters takes something out of what lines say of dead letters.
func inDeadLetters(lines []string, what *regexp.Regexp) (out []string) {
	for _, line := range lines {
		if strings.Contains(line, "x-death:[") {
			line = what.ReplaceAllString(line, "")
		}
		out = append(out, line)
	}
	return out
}

// has says whether one of the lines has all of the parts.
func has(lines []string, parts ...string) bool {
	return slices.ContainsFunc(lines, func(line string) bool {
		return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) })
	})
}

// known is the name of the difference that explains what the brokers did, or of
// several, with + between them, that do so together.
func known(script []Step, at int, waxwing, rabbit []string) string {
	for _, d := range differences {
		if d.Is(script, at, waxwing, rabbit) {
			return d.Name
		}
	}
	var names []string
	for _, d := range differences {
		if d.Without == nil || !d.Of(script) {
			continue
		}
		a, b := d.Without(waxwing), d.Without(rabbit)
		if !slices.Equal(a, waxwing) || !slices.Equal(b, rabbit) {
			names = append(names, d.Name)
		}
		waxwing, rabbit = a, b
	}
	if !slices.Equal(waxwing, rabbit) {
		return ""
	}
	return strings.Join(names, "+")
}
