package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

// TestBuildInfo: what the linker was told wins over what the tool chain stored.
func TestBuildInfo(t *testing.T) {
	stored := &debug.BuildInfo{
		Main: debug.Module{Version: "v0.3.0"},
		Settings: []debug.BuildSetting{
			{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: "abc123"}, {Key: "vcs.modified", Value: "true"},
		},
	}
	bare := &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}
	platform := " (" + runtime.Version() + ", " + runtime.GOOS + "/" + runtime.GOARCH + ")"
	for _, c := range []struct {
		set    buildInfo
		stored *debug.BuildInfo
		want   string
	}{
		{buildInfo{}, stored, "waxwing v0.3.0" + platform + " commit abc123, modified"},
		{buildInfo{Version: "1.2.3"}, stored, "waxwing 1.2.3" + platform + " commit abc123, modified"},
		{buildInfo{Version: "1.2.3", Revision: "def"}, stored, "waxwing 1.2.3" + platform + " commit def"},
		{buildInfo{Version: "1.2.3", Revision: "def", Modified: true}, bare, "waxwing 1.2.3" + platform + " commit def, modified"},
		{buildInfo{Version: "dev"}, bare, "waxwing dev" + platform},
	} {
		b := c.set
		b.complete(c.stored)
		b.Go, b.Platform = runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH
		if got := b.String(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// TestMakeBuildStamp: what `make build` gives the linker names the commit, and is
// nothing where there is no git, or where the folder is not the top of its
// repository.
func TestMakeBuildStamp(t *testing.T) {
	makefile, err := filepath.Abs("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	top := filepath.Join(t.TempDir(), "top")
	below := filepath.Join(top, "below")
	if err := os.MkdirAll(below, 0o755); err != nil {
		t.Fatal(err)
	}
	run := func(dir string, env []string, name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v: %s", name, args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	stamp := func(dir string, env ...string) string {
		t.Helper()
		return run(dir, append(env, "MAKEFLAGS=", "MAKELEVEL="), "make", "-s", "-f", makefile, "stamp")
	}
	git := func(args ...string) string {
		t.Helper()
		return run(top, nil, "git", append([]string{"-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"}, args...)...)
	}
	want := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	want("no repository", stamp(top, "GIT_CEILING_DIRECTORIES="+filepath.Dir(top)), "")
	git("init", "-q")
	want("no commit", stamp(top), "")
	git("commit", "-q", "--allow-empty", "-m", "one")
	commit := git("rev-parse", "HEAD")
	want("a commit", stamp(top), "-X main.revision="+commit)
	want("no git", stamp(top, "PATH="+below), "")
	want("below the top", stamp(below), "")
	git("tag", "v1.2.3")
	want("a tag", stamp(top), "-X main.revision="+commit+" -X main.version=v1.2.3")
	if err := os.WriteFile(filepath.Join(top, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	git("add", "file")
	want("a change", stamp(top), "-X main.revision="+commit+" -X main.version=v1.2.3 -X main.modified=true")
}
