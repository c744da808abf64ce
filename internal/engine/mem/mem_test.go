package mem_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/engine/enginetest"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
)

// place is a disk in memory. Kill replaces it by what the process left.
type place struct{ *mem.Disk }

func (p *place) Open() (engine.Engine, error) {
	e, err := p.Engine()
	if err != nil {
		return nil, err
	}
	return e, nil
}

func (p *place) Kill() { p.Disk = p.Disk.Kill() }

// MakeNewer raises the version in the headers of journal files.
func (p *place) MakeNewer() error {
	for _, name := range p.Names() {
		if !strings.HasSuffix(name, ".wal") {
			continue
		}
		content, err := p.ReadFile(name)
		if err != nil {
			return err
		}
		content = bytes.Clone(content)
		content[8]++
		if err := p.WriteFile(name, content); err != nil {
			return err
		}
	}
	return nil
}

func TestEngine(t *testing.T) {
	seed := uint64(0)
	enginetest.Run(t, func(t *testing.T) enginetest.Place {
		seed++
		return &place{mem.New(mem.Options{Seed: seed, Logf: t.Logf})}
	})
}
