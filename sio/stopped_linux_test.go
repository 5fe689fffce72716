package sio

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/epio-go/epio/eio"
)

// In the process that is stopped: how long clients may be silent, and all other patience, too. Before it is stopped, nobody
// answers a PING while the others join.
const stoppedPatience = 6 * time.Second

// TestStoppedServer is the process that TestStopped stops. It says where it listens, and which
// sockets leave and why, and ends with its standard input.
func TestStoppedServer(t *testing.T) {
	if os.Getenv("EPIO_STOPPED") == "" {
		t.Skip("only for TestStopped")
	}
	srv, err := New(Config{
		ConnectTimeout: stoppedPatience,
		Engine:         eio.Config{PingInterval: 100 * time.Millisecond, PingTimeout: stoppedPatience, UpgradeTimeout: stoppedPatience, HandshakeTimeout: stoppedPatience},
	})
	must(t, err)
	OnAck0(srv, "echo", func(context.Context, *Socket) (string, error) { return "ok", nil })
	srv.OnDisconnect(func(_ *Socket, r Reason) { fmt.Println("left:", string(r)) })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	go srv.Serve(ln)
	fmt.Println("listening:", ln.Addr())
	io.Copy(io.Discard, os.Stdin)
	srv.Close()
}

// A process may be stopped: by SIGSTOP, by a virtual machine that is moved, by a laptop's lid. When
// it goes on, all its timers are due at once. Clients who have answered meanwhile, into the kernel's
// buffers, are heard before they are taken for dead; so are handshakes, joins and upgrades that
// were under way. Only who has not answered is gone.
func TestStopped(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestStoppedServer$")
	cmd.Env = append(os.Environ(), "EPIO_STOPPED=1")
	stdin, err := cmd.StdinPipe()
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	defer cmd.Wait()
	defer stdin.Close()
	defer cmd.Process.Signal(syscall.SIGCONT)
	said := make(chan string, 100)
	go func() {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			said <- lines.Text()
		}
	}()
	addr, ok := strings.CutPrefix(receive(t, said), "listening: ")
	if !ok {
		t.Fatalf("got %q", addr)
	}
	dial := func() (net.Conn, error) { return net.Dial("tcp", addr) }
	r := remote(t, addr, dial)
	join := func(p *peer) *peer {
		p.send("40")
		p.joined("/")
		return p
	}
	var answering []*peer
	for range 5 {
		answering = append(answering, join(r.websocket()), join(r.polling()))
	}
	silent := join(r.websocket())
	upgrading := join(r.polling())
	upgrading.mute = true
	sid := upgrading.url[strings.Index(upgrading.url, "sid="):]
	candidate, resp := r.knock("&"+sid, "")
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp.Status)
	}
	candidate.send("2probe")
	candidate.want("3probe")
	joining := r.websocket() // has OPEN, has not joined
	joining.mute = true
	half, err := dial()
	must(t, err)
	defer half.Close()
	request := fmt.Sprintf(upgradeRequest, "", addr, "")
	io.WriteString(half, request[:20])
	for _, p := range append(answering, silent, joining) {
		p.mute = true
		p.want("2") // PING
	}

	must(t, cmd.Process.Signal(syscall.SIGSTOP))
	posted := make(chan error, len(answering))
	posts := 0
	for _, p := range answering {
		if p.nc == nil {
			posts++
			go func() { posted <- p.post("3") }()
		} else {
			p.send("3")
		}
	}
	candidate.send("5")
	joining.send("3", "40")
	io.WriteString(half, request[20:])
	<-time.After(stoppedPatience * 5 / 4) // with the process stopped, nothing says when it has had enough
	must(t, cmd.Process.Signal(syscall.SIGCONT))

	for range posts {
		if err := receive(t, posted); err != nil {
			t.Errorf("a poll's PONG: %v", err)
		}
	}
	for _, p := range append(answering, candidate) {
		p.mute = false
		p.send(`421["echo"]`)
		if got := p.next(); got.data != goodAnswer {
			t.Errorf("got %v", got)
		}
	}
	joining.mute = false
	if got := joining.next(); !strings.HasPrefix(got.data, `40{"sid"`) {
		t.Errorf("joining: got %v", got)
	}
	half.SetReadDeadline(time.Now().Add(patience))
	if resp, err := http.ReadResponse(bufio.NewReader(half), nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("half a handshake: %v, %v", resp, err)
	}
	// Others are kept alive until the silent one is found dead, which comes first.
	done := make(chan struct{})
	go func() {
		defer close(done)
		if got := receive(t, said); got != "left: "+string(PingTimeout) {
			t.Errorf("got %q", got)
		}
	}()
	for gone := false; !gone; {
		for _, p := range append(answering, candidate, joining) {
			p.send(`421["echo"]`)
			if got := p.next(); got.data != goodAnswer {
				t.Errorf("got %v", got)
			}
		}
		select {
		case <-done:
			gone = true
		default:
		}
	}
}
