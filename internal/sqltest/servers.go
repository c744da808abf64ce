package sqltest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
)

// program is the path of a server's program: in PATH, or where Debian keeps it.
func program(name string, elsewhere ...string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, pattern := range elsewhere {
		if found, _ := filepath.Glob(filepath.Join(pattern, name)); len(found) > 0 {
			return slices.Max(found), nil
		}
	}
	return "", fmt.Errorf("%s is missing: make tools installs it", name)
}

// freePort is a port of loopback that nobody listens on.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}

// prepare makes the server's folder, in which it may write, and finds a port.
func (s *server) prepare() (port string, err error) {
	if s.dir, err = os.MkdirTemp("", "waxwing-sqltest-"); err != nil {
		return "", err
	}
	if err := give(s.dir); err != nil {
		return "", err
	}
	return freePort()
}

// startPostgres starts a PostgreSQL that anybody on this machine may use.
func startPostgres(s *server) error {
	const debian = "/usr/lib/postgresql/*/bin"
	initdb, err := program("initdb", debian)
	if err != nil {
		return err
	}
	bin, err := program("postgres", debian)
	if err != nil {
		return err
	}
	port, err := s.prepare()
	if err != nil {
		return err
	}
	data := filepath.Join(s.dir, "data")
	if err := s.finish(initdb, "-D", data, "-A", "trust", "-U", "waxwing", "-E", "UTF8", "--locale=C", "--no-sync"); err != nil {
		return err
	}
	fsync := "off"
	if s.durable {
		fsync = "on"
	}
	s.admin = "postgres://waxwing@127.0.0.1:" + port + "/admin?sslmode=disable"
	if s.process, err = s.run(bin, "-D", data, "-p", port, "-h", "127.0.0.1", "-k", s.dir,
		"-c", "fsync="+fsync, "-c", "max_connections=200", "-c", "shared_buffers=64MB", "-c", "deadlock_timeout=100ms", "-c", "max_prepared_transactions=10"); err != nil {
		return err
	}
	return s.createAdmin("postgres", "/admin", "/postgres")
}

// startMariaDB starts a MariaDB that anybody on this machine may use.
func startMariaDB(s *server) error {
	install, err := program("mariadb-install-db")
	if err != nil {
		return err
	}
	bin, err := program("mariadbd", "/usr/sbin")
	if err != nil {
		return err
	}
	port, err := s.prepare()
	if err != nil {
		return err
	}
	data := "--datadir=" + filepath.Join(s.dir, "data")
	if err := s.finish(install, "--no-defaults", data, "--auth-root-authentication-method=normal", "--skip-test-db"); err != nil {
		return err
	}
	flush := "0"
	if s.durable {
		flush = "1"
	}
	s.admin = "mysql://root@127.0.0.1:" + port + "/admin"
	args := append([]string{"--no-defaults", data, "--port=" + port, "--bind-address=127.0.0.1",
		"--socket=" + filepath.Join(s.dir, "socket"), "--pid-file=" + filepath.Join(s.dir, "pid"), "--max-connections=200",
		"--innodb-flush-log-at-trx-commit=" + flush, "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=64M", "--skip-name-resolve"}, s.options...)
	if s.process, err = s.run(bin, args...); err != nil {
		return err
	}
	return s.createAdmin("mysql", "/admin", "/mysql")
}
