package engine

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const envFewDescriptors = "EPIO_TEST_FEW_DESCRIPTORS"

// TestAcceptSurvivesLackOfDescriptors runs a server in a process that may have
// few descriptors and connects more clients than it can take. As soon as some
// leave, others get in; nobody has to come again.
func TestAcceptSurvivesLackOfDescriptors(t *testing.T) {
	if o := os.Getenv(envFewDescriptors); o != "" {
		serveWithFewDescriptors(o == "portable")
		return
	}
	for _, o := range []string{"portable", "reactor"} {
		t.Run("engine="+o, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestAcceptSurvivesLackOfDescriptors$")
			cmd.Env = append(os.Environ(), envFewDescriptors+"="+o)
			stdin, _ := cmd.StdinPipe()
			stdout, _ := cmd.StdoutPipe()
			cmd.Stderr = os.Stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Wait()
			defer stdin.Close()
			addr, err := bufio.NewReader(stdout).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			addr = strings.TrimSpace(addr)
			const n = 60
			waiting := make(map[net.Conn]bool)
			for range n {
				nc, err := net.Dial("tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				defer nc.Close()
				waiting[nc] = true
				io.WriteString(nc, "x")
			}
			lost := 0
			deadline := time.Now().Add(waitTime)
			for len(waiting) > 0 && time.Now().Before(deadline) {
				for nc := range waiting {
					nc.SetReadDeadline(time.Now().Add(time.Millisecond))
					_, err := nc.Read(make([]byte, 1))
					switch {
					case err == nil: // answered
					case errors.Is(err, os.ErrDeadlineExceeded):
						continue
					default:
						lost++ // accepted and dropped
					}
					nc.Close()
					delete(waiting, nc)
				}
			}
			if len(waiting) > 0 {
				t.Errorf("%d of %d clients are still waiting", len(waiting), n)
			}
			if lost > 0 {
				t.Errorf("%d of %d clients were dropped", lost, n)
			}
		})
	}
}

// serveWithFewDescriptors is the server process. It ends with standard input.
func serveWithFewDescriptors(portable bool) {
	die := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	e := New(Options{Portable: portable})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	die(err)
	die(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 24, Max: 24}))
	go e.Serve(ln, func(*Conn) Handler { return newHandler(echo) })
	fmt.Println(ln.Addr())
	io.Copy(io.Discard, os.Stdin)
	e.Close()
	os.Exit(0)
}
