package docs

import (
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/waxwing-mq/waxwing/conformance/harness"
)

// TestMakeTargets looks whether each make command that a page names is there.
func TestMakeTargets(t *testing.T) {
	targets := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^([a-z-]+):`).FindAllStringSubmatch(read(t, "Makefile"), -1) {
		targets[m[1]] = true
	}
	command := regexp.MustCompile("(?m)(?:^ {4}|`)(?:[A-Z_]+=(?:\"[^\"]*\"|\\S+) +)*make ([a-z-]+)")
	root := root(t)
	found := 0
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := e.Name(); e.IsDir() && (name == "node_modules" || strings.HasPrefix(name, ".") && path != root) {
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		rel, err := filepath.Rel(root, path)
		harness.Must(t, err)
		for _, m := range command.FindAllStringSubmatch(read(t, rel), -1) {
			found++
			if !targets[m[1]] {
				t.Errorf("%s says make %s, which is no target", rel, m[1])
			}
		}
		return nil
	})
	harness.Must(t, err)
	if found < 20 {
		t.Errorf("only %d commands found", found)
	}
}
