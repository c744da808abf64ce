package amqpdiff

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

// Where a difference is of what becomes of messages, what both brokers brought is
// accounted for: which queues' messages are concerned, and whether as many are
// there. This file finds that out from the lines.

var (
	ofConsumer = regexp.MustCompile(`^(\w)/(\d+) consumer (\S+) #`)
	ofQueue    = regexp.MustCompile(`^(?:queue|content) (\S+) #`)
	count      = regexp.MustCompile(`messages=(\d+)`)
)

// queueOf is the queue that a line is about: a delivery, a count or what is left in
// the end. ok is false if it is none of these.
func queueOf(script []Step, line string) (name string, ok bool) {
	if m := ofQueue.FindStringSubmatch(line); m != nil {
		return m[1], true
	}
	m := ofConsumer.FindStringSubmatch(line)
	if m == nil {
		return "", false
	}
	last := ""
	for _, s := range script {
		if !onChannel(s, m) {
			continue
		}
		switch c := s.Method.(type) {
		case *wire.QueueDeclare:
			last = c.Queue
		case *wire.BasicConsume:
			if c.ConsumerTag == m[3] { // the last that has this tag
				name, ok = cmp.Or(c.Queue, last), true
			}
		}
	}
	return name, ok
}

// onChannel says whether a step is on the channel of a line that ofConsumer found.
func onChannel(s Step, line []string) bool {
	return s.Conn == int(line[1][0]-'A') && strconv.Itoa(int(s.Channel)) == line[2]
}

// declared says whether a script declares a queue of that name with such arguments.
func declared(script []Step, name string, such func(wire.Table) bool) bool {
	for at := range script {
		m := method[*wire.QueueDeclare](script, at)
		if m != nil && (m.Queue == name || m.Queue == "" && strings.HasPrefix(name, "@")) && such(m.Arguments) {
			return true
		}
	}
	return false
}

// isCount says whether a line is how many messages a queue has.
func isCount(line string) bool { return strings.HasPrefix(line, "queue ") && count.MatchString(line) }

// isMessage says whether a line is a delivery, or what is left in a queue.
func isMessage(line string) bool {
	return strings.Contains(line, " consumer ") || strings.HasPrefix(line, "content ")
}

// messages is how many there are: delivered, in queues, and in the end left there.
func messages(lines []string) (n int) {
	for _, line := range lines {
		switch {
		case isMessage(line):
			n++
		case isCount(line):
			k, _ := strconv.Atoi(count.FindStringSubmatch(line)[1])
			n += k
		}
	}
	return n
}

// messagesOf are those of one queue.
func messagesOf(script []Step, lines []string, queue string) int {
	var its []string
	for _, line := range lines {
		if name, ok := queueOf(script, line); ok && name == queue {
			its = append(its, line)
		}
	}
	return messages(its)
}

// sameConsumers says whether lines of counts differ in how many messages there are
// only.
func sameConsumers(waxwing, rabbit []string) bool {
	rest := func(lines []string) (out []string) {
		for _, line := range lines {
			if isCount(line) {
				out = append(out, count.ReplaceAllString(line, ""))
			}
		}
		return out
	}
	return slices.Equal(rest(waxwing), rest(rabbit))
}

// what is a message's line without the place where it came: its body and all of
// its properties.
func what(line string) string { return line[place.FindStringIndex(line)[1]:] }

// whoever are lines that say neither which consumer got a message nor in which order
// things came.
func whoever(lines []string) []string {
	var out []string
	for _, line := range lines {
		if strings.Contains(line, " consumer ") {
			line = "some consumer" + what(line)
		}
		out = append(out, line)
	}
	return unordered(out)
}

// onlyThere are the lines that the others have not, wherever they came.
func onlyThere(lines, others []string) (out []string) {
	left := map[string]int{}
	key := func(line string) string { return place.ReplaceAllString(line, "") }
	for _, line := range others {
		left[key(line)]++
	}
	for _, line := range lines {
		if left[key(line)]--; left[key(line)] < 0 {
			out = append(out, line)
		}
	}
	return out
}
