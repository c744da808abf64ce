package broker

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"syscall"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// TestDamageIsLoggedOnce for each place, with what to do, which neither the line
// nor the error says twice.
func TestDamageIsLoggedOnce(t *testing.T) {
	var log bytes.Buffer
	b := &Broker{cfg: Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, damage: newDamage()}
	for _, met := range []error{
		damagedAt(7, 4096, errors.New("checksum")),
		&fs.PathError{Op: "read", Path: "a/b", Err: syscall.EIO},
	} {
		for round := range 2 {
			log.Reset()
			err := b.readError(fmt.Errorf("reading: %w", met))
			if !isKind(err, Damaged) || !strings.HasSuffix(err.Error(), engine.DamageAdvice) || strings.Count(err.Error(), "backup") != 1 {
				t.Errorf("%v became %v", met, err)
			}
			line := log.String()
			if told := strings.Contains(line, `msg="a read met damage"`) && strings.Count(line, "backup") == 1; told != (round == 0) {
				t.Errorf("%v, for the time %d: logged %q", met, round+1, line)
			}
		}
	}
	log.Reset()
	if err := b.readError(engine.ErrReleased); err != engine.ErrReleased || log.Len() > 0 {
		t.Errorf("no damage: %v, logged %q", err, &log)
	}
}
