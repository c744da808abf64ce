package amqpdiff

import "strings"

// A sight is what scripts have to show now and then.
type sight struct {
	name string
	part string // of a line
	// rare says that one script in so many shows it: what 1,500 scripts did,
	// rounded up. 0: it is so rare that it has a script of its own.
	rare int
}

var sights = []sight{
	{"a delivery", " consumer ", 2},
	{"a redelivery", " again ", 2},
	{"a return", " return ", 4},
	{"a confirm", "confirmed", 3},
	{"a refused publish", "refused", 0},
	{"a cancelled consumer", " cancelled ", 11},
	{"a dead letter", "x-death:[{", 19},
	{"a death by rejecting", ", reason:S(rejected)", 49},
	{"a death by length", ", reason:S(maxlen)", 0},
	{"a death by age", ", reason:S(expired)", 0},
	{"a death by deliveries", ", reason:S(delivery_limit)", 0},
	{"a second death", "{count:l(2)", 0},
	{"two lines of x-death", "} {count", 0},
	{"a delivery count", "x-delivery-count", 7},
	{"what is left", "content ", 2},
	{"a committed message", "tx.commit-ok", 4},
	{"403", "channel.close ReplyCode=403", 3},
	{"404", "channel.close ReplyCode=404", 2},
	{"405", "channel.close ReplyCode=405", 11},
	{"406", "channel.close ReplyCode=406", 2},
	{"501", "connection.close ReplyCode=501", 32},
	{"503", "connection.close ReplyCode=503", 21},
	{"504", "connection.close ReplyCode=504", 10},
	{"505", "connection.close ReplyCode=505", 17},
	{"530", "connection.close ReplyCode=530", 27},
	{"540", "connection.close ReplyCode=540", 5},
}

// sureTimes is how many times as many scripts as a sight is rare are sure to show
// it: less than one block in a million does not, whatever its seeds are.
const sureTimes = 14

// missed are the sights that so many scripts have not shown, and should have.
// shown is how many scripts showed each.
func missed(scripts int, shown map[string]int) (names []string) {
	for _, s := range sights {
		if s.rare > 0 && shown[s.name] == 0 && scripts >= sureTimes*s.rare {
			names = append(names, s.name)
		}
	}
	return names
}

// see counts the sights of an outcome.
func (p *Pair) see(lines []string) {
	for _, s := range sights {
		for _, line := range lines {
			if strings.Contains(line, s.part) {
				p.Seen[s.name]++
			}
		}
	}
}
