package redis_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/adapter/cluster/clustertest"
)

// server is a redis-server of the test's own, on loopback.
type server struct {
	t    *testing.T
	addr string
	bus  string // the port between the nodes of a Redis Cluster
	args []string
	cmd  *exec.Cmd
	end  chan error // gets why cmd has ended
}

// startServer starts one. Without the program the test is skipped, unless
// REQUIRE_SERVICES=1.
func startServer(t *testing.T, args ...string) *server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("REQUIRE_SERVICES") == "1" {
			t.Fatal(err)
		}
		t.Skipf("no redis-server, which Debian has in a package of this name: %v", err)
	}
	port := clustertest.Port(t)
	s := &server{t: t, addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	s.args = append([]string{
		"--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--save", "", "--appendonly", "no",
		"--dir", t.TempDir(), "--loglevel", "warning",
	}, args...)
	t.Cleanup(s.kill)
	s.start()
	return s
}

// startNode starts a node of a Redis Cluster. Nodes listen on another port for each other, by default on the one 10,000 above,
// which may be somebody else's.
func startNode(t *testing.T, args ...string) *server {
	t.Helper()
	bus := strconv.Itoa(clustertest.Port(t))
	s := startServer(t, append([]string{"--cluster-enabled", "yes", "--cluster-port", bus}, args...)...)
	s.bus = bus
	return s
}

func (s *server) start() {
	s.t.Helper()
	var out bytes.Buffer
	s.cmd, s.end = exec.Command("redis-server", s.args...), make(chan error, 1)
	s.cmd.Stdout = &out
	if err := s.cmd.Start(); err != nil {
		s.cmd = nil
		s.t.Fatal(err)
	}
	cmd, end := s.cmd, s.end
	go func() { end <- cmd.Wait() }()
	rdb := goredis.NewClient(&goredis.Options{Addr: s.addr, MaxRetries: -1, DialerRetries: 1})
	defer rdb.Close()
	clustertest.Eventually(s.t, "redis answers", func() bool {
		select {
		case err := <-end:
			s.cmd = nil
			s.t.Fatalf("redis-server has ended: %v\n%s", err, &out)
		default:
		}
		return rdb.Ping(context.Background()).Err() == nil
	})
}

func (s *server) kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.end
	s.cmd = nil
}

// signal sends a signal: SIGSTOP and SIGCONT.
func (s *server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// client returns a client as an application has it.
func (s *server) client() *goredis.Client {
	rdb := goredis.NewClient(&goredis.Options{Addr: s.addr})
	s.t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// open initializes an adapter.
func open(t *testing.T, f adapter.Factory, h adapter.Host) *cluster.Adapter {
	t.Helper()
	a := plainAdapter(f(h))
	initialize(t, a)
	return a
}

// plainAdapter returns what all adapters have in common.
func plainAdapter(a adapter.Adapter) *cluster.Adapter {
	if l, ok := a.(*cluster.Logged); ok {
		return l.Adapter
	}
	return a.(*cluster.Adapter)
}

func initialize(t *testing.T, a *cluster.Adapter) {
	t.Helper()
	if err := a.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := a.Close(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

func containsAll(s string, parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(s, p) {
			return false
		}
	}
	return true
}
