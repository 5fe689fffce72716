package main

import (
	"bufio"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The floor understands everything this program sends, in every protocol, and so does
// bench-server.
func TestServers(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin+"/", "../floor", "../server")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, test := range []struct {
		program string
		wire    protocol
	}{{"floor", socketio}, {"floor", msgpack}, {"floor", plain}, {"server", socketio}} {
		t.Run(test.program, func(t *testing.T) {
			t.Parallel()
			for _, payload := range []int{16, 16 << 10, 70_000} {
				addr, pid := startServer(t, filepath.Join(bin, test.program))
				l, err := newLoad(options{
					addr: addr, pid: pid, protocol: test.wire, clients: testClients, payload: payload,
					time: 50 * time.Millisecond, stall: 30 * time.Second, rate: 1_000, rooms: 30,
				})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(l.close)
				for _, name := range []string{
					"connect", "idle", "bcast1", "bcast16", "room5-bcast16", "bin1", "bin16", "echo1", "echo20", "rooms", "churn", "slow", "poll", "upgrade", "connect",
				} {
					if test.wire == plain && (name == "poll" || name == "upgrade") {
						continue
					}
					for _, r := range l.do(name) {
						if r.Error != "" || r.Units == 0 {
							t.Errorf("%d bytes: %v", payload, r)
						}
					}
				}
			}
		})
	}
}

// startServer starts a program and waits until it listens.
func startServer(t *testing.T, program string) (addr string, pid int) {
	t.Helper()
	cmd := exec.Command(program, "-addr", "127.0.0.1:0")
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		for lines := bufio.NewScanner(out); lines.Scan(); {
			t.Errorf("%s: %s", program, lines.Text())
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", program, err)
		}
	})
	line, err := bufio.NewReaderSize(out, 1).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(line, "listening on ")
	if !ok {
		t.Fatalf("%s says %q", program, line)
	}
	return strings.Fields(rest)[0], cmd.Process.Pid
}
