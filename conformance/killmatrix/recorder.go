//go:build killpoints

package killmatrix

import (
	"bufio"
	"context"
	"encoding/json"
	"os"

	"github.com/waxwing-mq/waxwing/bus"
)

// A recorder is a publisher that writes down what it is about to publish, so that
// it can be counted and published again.
type recorder struct {
	bus.Publisher
	file *os.File // opened to append
}

func openRecorder(to bus.Publisher, path string) (*recorder, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = f.WriteString("\n") // behind what a process that was killed has written
	}
	return &recorder{to, f}, err
}

func (r *recorder) Publish(ctx context.Context, msgs []bus.Message) error {
	var lines []byte
	for i := range msgs {
		b, err := json.Marshal(msgs[i])
		if err != nil {
			return err
		}
		lines = append(append(lines, b...), '\n')
	}
	if _, err := r.file.Write(lines); err != nil { // one write, which other processes do not tear
		return err
	}
	return r.Publisher.Publish(ctx, msgs)
}

// recorded is what was about to be published, in order.
func recorded(path string) (msgs []bus.Message, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Buffer(nil, 1<<20); s.Scan(); {
		var m bus.Message
		if json.Unmarshal(s.Bytes(), &m) != nil {
			continue // empty, or torn: its writer was killed, and has not published it
		}
		msgs = append(msgs, m)
	}
	return msgs, s.Err()
}

// distinct is how many of the messages are different events.
func distinct(msgs []bus.Message) int {
	ids := map[string]bool{}
	for i := range msgs {
		ids[msgs[i].Topic+"/"+msgs[i].ID] = true
	}
	return len(ids)
}
