package amqpdiff

import (
	"fmt"
	"regexp"
	"strconv"
)

// quorumConsumers is the name of an intended difference after which a script goes
// on: what RabbitMQ gives as the number of consumers of a quorum queue has, beside
// them, each answer to basic.get and each cancelled consumer of which a message is
// not settled; and of a single active consumer's queue it leaves out those that
// wait.
const quorumConsumers = "quorum-consumers"

var consumerCount = regexp.MustCompile(`^(.+ #\d+(?: queue\.declare-ok "([^"]*)")?) (messages=\d+) consumers=(\d+) holding=(\d+)$`)

// agreeOnConsumers are the lines of both brokers without who else holds messages,
// and RabbitMQ's with the number of consumers that Waxwing gives, where theirs is
// that difference. It says whether one is.
func agreeOnConsumers(script []Step, waxwing, rabbit []string) (w, r []string, counted bool) {
	mine := map[string]int{} // what Waxwing gives, by the beginnings of lines
	for _, line := range waxwing {
		m := consumerCount.FindStringSubmatch(line)
		if m != nil {
			mine[m[1]], _ = strconv.Atoi(m[4])
			line = fmt.Sprintf("%s %s consumers=%s", m[1], m[3], m[4])
		}
		w = append(w, line)
	}
	for _, line := range rabbit {
		if m := consumerCount.FindStringSubmatch(line); m != nil {
			name, ok := queueOf(script, line)
			if !ok {
				name = m[2]
			}
			n, _ := strconv.Atoi(m[4])
			holding, _ := strconv.Atoi(m[5])
			own, there := mine[m[1]]
			if there && n != own && explains(script, name, own, n, holding) {
				n, counted = own, true
			}
			line = fmt.Sprintf("%s %s consumers=%d", m[1], m[3], n)
		}
		r = append(r, line)
	}
	return w, r, counted
}

// explains says whether quorumConsumers is why RabbitMQ counts so many consumers of
// a queue that has that many, while so many others hold messages of it.
func explains(script []Step, queue string, consumers, counted, holding int) bool {
	if declared(script, queue, quorumThatFades) && counted >= min(consumers, 1) && counted <= consumers+holding {
		return true
	}
	return declared(script, queue, quorum) && counted == consumers+holding
}
