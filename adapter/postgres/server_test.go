package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/epio-go/epio/adapter/cluster/clustertest"
	"github.com/epio-go/epio/adapter/postgres"
)

func TestMain(m *testing.M) {
	if dsn := os.Getenv("TEST_NODE_DSN"); dsn != "" {
		runNode(dsn)
		return
	}
	code := m.Run()
	if template.dir != "" {
		_ = os.RemoveAll(template.dir)
	}
	os.Exit(code)
}

// template is a data directory that servers start with a copy of, since initdb takes a
// while.
var template struct {
	once sync.Once
	bin  string // where the programs are
	user *account
	dir  string
	err  error
}

// binaries returns the folder of PostgreSQL's programs. Debian does not put them on PATH.
func binaries() (string, error) {
	if p, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(p), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", errors.New("no PostgreSQL, which Debian has in the package postgresql")
	}
	return filepath.Dir(found[len(found)-1]), nil
}

// account is a user of the system.
type account struct{ uid, gid uint32 }

// unprivileged returns whom to run PostgreSQL as: it refuses to run as root. nil means
// ourselves.
func unprivileged() (*account, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	var errs []error
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		return &account{uint32(uid), uint32(gid)}, nil
	}
	return nil, errors.Join(errs...)
}

// newDir makes a directory for PostgreSQL: not below the test's, which others than its
// owner cannot enter.
func newDir() (string, error) {
	dir, err := os.MkdirTemp("", "epio-postgres-")
	if err == nil && template.user != nil {
		err = os.Chown(dir, int(template.user.uid), int(template.user.gid))
	}
	return dir, err
}

func command(dir, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if template.user != nil {
		runAs(cmd, template.user)
	}
	return cmd
}

func initTemplate() error {
	var err error
	if template.bin, err = binaries(); err != nil {
		return err
	}
	if template.user, err = unprivileged(); err != nil {
		return err
	}
	if template.dir, err = newDir(); err != nil {
		return err
	}
	out, err := command(template.dir, filepath.Join(template.bin, "initdb"),
		"--pgdata", "data", "--no-sync", "--auth", "trust", "--username", "postgres", "--encoding", "UTF8", "--locale", "C",
	).CombinedOutput()
	if err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	return nil
}

// server is a PostgreSQL of the test's own, on loopback.
type server struct {
	t    *testing.T
	dir  string
	addr string
	port int
	cmd  *exec.Cmd
}

// startServer starts one. Without the program the test is skipped, unless
// REQUIRE_SERVICES=1.
func startServer(t *testing.T) *server {
	t.Helper()
	template.once.Do(func() { template.err = initTemplate() })
	if template.err != nil {
		if os.Getenv("REQUIRE_SERVICES") == "1" {
			t.Fatal(template.err)
		}
		t.Skip(template.err)
	}
	dir, err := newDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if out, err := command(dir, "cp", "-R", filepath.Join(template.dir, "data"), dir).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	s := &server{t: t, dir: dir, port: clustertest.Port(t)}
	s.addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
	t.Cleanup(s.kill)
	t.Cleanup(s.showLog)
	s.start()
	return s
}

func (s *server) start() {
	s.t.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	args := []string{"-D", "data", "-p", strconv.Itoa(s.port)}
	for _, c := range []string{
		"listen_addresses=127.0.0.1", "unix_socket_directories=", "shared_buffers=8MB", "max_connections=50",
		"fsync=off", "synchronous_commit=off", "full_page_writes=off", "wal_level=minimal", "max_wal_senders=0",
	} {
		args = append(args, "-c", c)
	}
	s.cmd = command(s.dir, filepath.Join(template.bin, "postgres"), args...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	clustertest.Eventually(s.t, "postgres answers", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		conn, err := pgx.Connect(ctx, s.dsn(""))
		if err != nil {
			return false
		}
		return conn.Close(ctx) == nil
	})
}

// log returns what the server has logged.
func (s *server) log() string {
	log, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		s.t.Error(err)
	}
	return string(log)
}

// showLog helps to understand a failure.
func (s *server) showLog() {
	if s.t.Failed() {
		log := s.log()
		s.t.Logf("the end of the log of postgres:\n%s", log[max(0, len(log)-4000):])
	}
}

// kill ends the server and its connections at once, without a goodbye to anybody.
func (s *server) kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGQUIT)
	_ = s.cmd.Wait()
	s.cmd = nil
}

// dsn says how to connect, through a proxy if addr is not empty.
func (s *server) dsn(addr string) string {
	if addr == "" {
		addr = s.addr
	}
	return "postgres://postgres@" + addr + "/postgres?sslmode=disable"
}

// pool returns a pool as an application has it.
func (s *server) pool(addr string, change ...func(*pgxpool.Config)) *pgxpool.Pool {
	s.t.Helper()
	c, err := pgxpool.ParseConfig(s.dsn(addr))
	if err != nil {
		s.t.Fatal(err)
	}
	c.MaxConns = 4
	for _, f := range change {
		f(c)
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), c)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(pool.Close)
	return pool
}

// exec executes SQL on behalf of the test.
func (s *server) exec(sql string, args ...any) {
	s.t.Helper()
	conn := s.connect()
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), sql, args...); err != nil {
		s.t.Fatal(err)
	}
}

// count returns the number a query results in.
func (s *server) count(sql string) (n int) {
	s.t.Helper()
	conn := s.connect()
	defer conn.Close(context.Background())
	if err := conn.QueryRow(context.Background(), sql).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *server) connect() *pgx.Conn {
	s.t.Helper()
	conn, err := pgx.Connect(context.Background(), s.dsn(""))
	if err != nil {
		s.t.Fatal(err)
	}
	return conn
}

// withTable are options for a server whose table does not exist yet.
var withTable = postgres.Options{CreateTable: true}
