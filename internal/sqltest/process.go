package sqltest

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/waxwing-mq/waxwing/sqldb"
)

// owner is the user that servers run as: not root, which they refuse. It is nil if
// this process is somebody else's already.
func owner() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		return nil, err
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// give makes a folder the servers' own.
func give(dir string) error {
	c, err := owner()
	if err != nil || c == nil {
		return err
	}
	return os.Chown(dir, int(c.Uid), int(c.Gid))
}

// command is a program that runs as the servers' user, within the server's folder.
func (s *server) command(name string, args ...string) (*exec.Cmd, error) {
	c, err := owner()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(name, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "HOME="+s.dir, "TMPDIR="+s.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c}
	return cmd, nil
}

// finish runs a program to its end.
func (s *server) finish(name string, args ...string) error {
	cmd, err := s.command(name, args...)
	if err != nil {
		return err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(name), err, out)
	}
	return nil
}

// A process is a server that runs.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// run starts a server, which dies with this process, whatever ends it.
func (s *server) run(name string, args ...string) (*process, error) {
	cmd, err := s.command(name, args...)
	if err != nil {
		return nil, err
	}
	out, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	dieWithParent(cmd.SysProcAttr)
	p, started := &process{cmd, make(chan struct{})}, make(chan error)
	go func() {
		runtime.LockOSThread() // the kernel's parent is this thread, which must live on
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// ended says whether it runs no more.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// stop ends it without waiting for clients.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGQUIT) // PostgreSQL: at once
	select {
	case <-p.done:
	case <-time.After(3 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// createAdmin waits for the server and creates the database "admin", reached through
// one that is there from the start.
func (s *server) createAdmin(dialect, admin, first string) error {
	want := s.admin
	s.admin = strings.Replace(want, admin, first, 1)
	if err := s.ready(); err != nil {
		return fmt.Errorf("%s: %w", dialect, err)
	}
	_, db, err := sqldb.Open(s.admin)
	if err != nil {
		return err
	}
	defer db.Close()
	s.admin = want
	_, err = db.Exec("CREATE DATABASE admin")
	return err
}
