package amqpdiff

import "strings"

// sights are what scripts have to show now and then, by a part of a line.
var sights = map[string]string{
	"a delivery":            " consumer ",
	"a redelivery":          " again ",
	"a return":              " return ",
	"a confirm":             "confirmed",
	"a refused publish":     "refused",
	"a cancelled consumer":  " cancelled ",
	"a dead letter":         "x-death:[{",
	"a death by rejecting":  ", reason:S(rejected)",
	"a death by length":     ", reason:S(maxlen)",
	"a death by age":        ", reason:S(expired)",
	"a death by deliveries": ", reason:S(delivery_limit)",
	"a second death":        "{count:l(2)",
	"two lines of x-death":  "} {count",
	"a delivery count":      "x-delivery-count",
	"what is left":          "content ",
	"a committed message":   "tx.commit-ok",
	"403":                   "channel.close ReplyCode=403",
	"404":                   "channel.close ReplyCode=404",
	"405":                   "channel.close ReplyCode=405",
	"406":                   "channel.close ReplyCode=406",
	"501":                   "connection.close ReplyCode=501",
	"503":                   "connection.close ReplyCode=503",
	"504":                   "connection.close ReplyCode=504",
	"505":                   "connection.close ReplyCode=505",
	"530":                   "connection.close ReplyCode=530",
	"540":                   "connection.close ReplyCode=540",
}

// see counts the sights of an outcome.
func (p *Pair) see(lines []string) {
	for name, part := range sights {
		for _, line := range lines {
			if strings.Contains(line, part) {
				p.Seen[name]++
			}
		}
	}
}
