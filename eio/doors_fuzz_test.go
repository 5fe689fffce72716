package eio

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/internal/memconn"
)

// recorder is the application of one connection at a time.
type recorder struct {
	mu    sync.Mutex
	said  []string
	ended chan struct{}
}

func (a *recorder) Open(*Session) { a.note("open") }

func (a *recorder) Message(_ *Session, data []byte, binary bool) {
	a.note(fmt.Sprintf("%v %x", binary, data))
}

func (a *recorder) Close(_ *Session, reason Reason, err error) {
	kind := "other"
	if ce, ok := errors.AsType[*CloseError](err); ok {
		kind = fmt.Sprintf("close %d %q", ce.Code, ce.Text)
	}
	for _, k := range []error{ErrWebSocketProtocol, ErrWebSocketUTF8, ErrWebSocketDeflate, ErrMessageTooBig, ErrHeartbeat} {
		if errors.Is(err, k) {
			kind = k.Error()
		}
	}
	a.note(fmt.Sprintf("%s, %s", reason, kind))
	select {
	case a.ended <- struct{}{}:
	default: // nobody waits for it
	}
}

func (a *recorder) note(what string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.said = append(a.said, what)
}

func (a *recorder) take() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := strings.Join(a.said, "\n")
	a.said = nil
	return s
}

// fuzzDoor is a server that stays for as long as the process runs.
type fuzzDoor struct {
	name string
	app  *recorder
	dial func() (net.Conn, error)
}

func openFuzzDoor(f *testing.F, d door, cfg Config) *fuzzDoor {
	o := &fuzzDoor{name: d.name, app: &recorder{ended: make(chan struct{}, 1)}}
	cfg.Portable, cfg.Reactor = d.portable || d.memory, d.reactor
	srv, err := NewServer(cfg, o.app)
	if err != nil {
		f.Fatal(err)
	}
	var ln net.Listener
	if d.memory {
		m := memconn.Listen()
		ln, o.dial = m, func() (net.Conn, error) { return m.Dial() }
	} else {
		if ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			f.Fatal(err)
		}
		o.dial = func() (net.Conn, error) { return net.Dial("tcp", ln.Addr().String()) }
	}
	hs := &http.Server{Handler: srv}
	var serving sync.WaitGroup
	serving.Go(func() {
		if d.direct {
			srv.Serve(ln)
		} else {
			hs.Serve(ln)
		}
	})
	f.Cleanup(func() {
		srv.Close()
		hs.Close()
		serving.Wait()
	})
	return o
}

// send opens a connection and writes the pieces.
func (o *fuzzDoor) send(t *testing.T, pieces ...[]byte) net.Conn {
	nc, err := o.dial()
	if err != nil {
		t.Fatal(err)
	}
	nc.SetDeadline(time.Now().Add(10 * time.Second))
	for _, p := range pieces {
		if _, err := nc.Write(p); err != nil {
			break // it was refused before it was complete
		}
	}
	return nc
}

// exchange sends the pieces and nothing more, and waits for the end of the connection.
func (o *fuzzDoor) exchange(t *testing.T, pieces ...[]byte) {
	nc := o.send(t, pieces...)
	defer nc.Close()
	nc.(interface{ CloseWrite() error }).CloseWrite()
	_, err := io.Copy(io.Discard, nc)
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		t.Fatalf("%s: the connection stays open", o.name)
	}
}

var sidInOpen = regexp.MustCompile(`"sid":"[^"]*"`)

// FuzzDoors sends the same request through both doors: that of net/http and our own, whose
// parser knows a part of HTTP only. Both give the same answer.
func FuzzDoors(f *testing.F) {
	for _, head := range []string{
		goodHead, strings.Replace(goodHead, "Version: 13", "Version: 8", 1), strings.Replace(goodHead, "GET", "POST", 1),
		strings.Replace(goodHead, "websocket HTTP", "polling HTTP", 1), strings.Replace(goodHead, "EIO=4", "EIO=3", 1),
		strings.Replace(goodHead, "EIO=4", "sid=x&EIO=4", 1), strings.Replace(goodHead, "Upgrade: websocket\r\n", "", 1),
		strings.Replace(goodHead, "User-Agent: test", "Sec-WebSocket-Protocol: a, b", 1), strings.Replace(goodHead, "https://example.com", "https://exa\x01mple.com", 1),
		strings.Replace(goodHead, "User-Agent: test", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits", 1),
		strings.ReplaceAll(goodHead, "\r\n", "\n"), strings.Replace(goodHead, "test", "a\r\n b", 1), goodHead + "\x81\x85\x00\x00\x00\x004abcd",
		"GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		f.Add(head, uint16(20))
	}
	cfg := Config{PerMessageDeflate: &PerMessageDeflate{}}
	ours := openFuzzDoor(f, memoryDoors[1], cfg)
	theirs := openFuzzDoor(f, memoryDoors[0], cfg)
	f.Fuzz(func(t *testing.T, raw string, cut uint16) {
		// The path is compared as it was sent on our door, and by the application's router on
		// the other.
		line, _, _ := strings.Cut(raw, "\n")
		_, target, _ := strings.Cut(line, " ")
		n := findHead([]byte(raw), 0)
		if !strings.HasPrefix(target, "/engine.io/?") || n == 0 || len(raw) > 4096 {
			return // of another size net/http and we allow different ones
		}
		if h, ok := parseHead(raw[:n]); !ok || h.method == http.MethodHead || !validHeaderValue(h.origin) {
			return // net/http's business on both, or refused by net/http before we see it
		}
		at := min(int(cut), len(raw))
		answer := func(o *fuzzDoor, pieces ...[]byte) (int, string) {
			nc := o.send(t, pieces...)
			defer o.app.take()
			defer nc.Close()
			resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
			if err != nil {
				t.Fatalf("%s: %q: %v", o.name, raw, err)
			}
			var body []byte
			if resp.StatusCode != 101 {
				body, _ = io.ReadAll(resp.Body)
			}
			for _, name := range []string{"Sec-Websocket-Accept", "Sec-Websocket-Extensions", "Sec-Websocket-Protocol", "Sec-Websocket-Version", "Content-Type"} {
				body = fmt.Appendf(body, " %q", resp.Header.Values(name))
			}
			return resp.StatusCode, string(sidInOpen.ReplaceAll(body, nil))
		}
		status, body := answer(ours, []byte(raw[:at]), []byte(raw[at:]))
		want, wantBody := answer(theirs, []byte(raw))
		if status != want || body != wantBody {
			t.Errorf("%q\n%s: %d %q\n%s: %d %q", raw, ours.name, status, body, theirs.name, want, wantBody)
		}
	})
}

// FuzzEngines sends a WebSocket's stream, cut into three pieces, to a server on each engine. The
// application hears the same.
func FuzzEngines(f *testing.F) {
	for _, frames := range [][][]byte{
		{textFrame("4hello"), clientFrame(0x82, []byte{1, 2}), clientFrame(0x89, []byte("p")), clientFrame(0x88, []byte{3, 232})},
		{clientFrame(0x01, []byte("4\xe2")), clientFrame(0x89, nil), clientFrame(0x80, []byte("\x82\xac"))},
		{clientFrame(0xc1, deflated("4"+prose(100))), textFrame("41"), textFrame("1")},
		{clientFrame(0x82, make([]byte, 900)), clientFrame(0x82, make([]byte, 1100)), textFrame("4")},
		{textFrame("4a"), {0xff, 0xff}, textFrame("4b")},
		{textFrame("4a"), textFrame("2"), textFrame("4b")},
		{textFrame("4a"), textFrame("9"), textFrame("4b")},
		{textFrame("3"), textFrame("6"), textFrame("5"), clientFrame(0x82, nil), textFrame("4\xff")},
		{clientFrame(0x88, []byte{3, 233, 'b', 'y', 'e'}), textFrame("4late")},
		{{0x81}},
	} {
		stream := bytes.Join(frames, nil)
		f.Add(stream, uint16(0), uint16(len(stream)/2))
		f.Add(stream, uint16(1), uint16(2))
	}
	head := []byte(strings.Replace(goodHead, "User-Agent: test", "Sec-WebSocket-Extensions: permessage-deflate", 1))
	cfg := Config{PerMessageDeflate: &PerMessageDeflate{}, MaxPayload: 1000}
	var on []*fuzzDoor
	for _, d := range []door{
		{name: "epoll", direct: true},
		{name: "netpoll", direct: true, reactor: engine.Netpoll},
		{name: "portable", direct: true, memory: true},
		{name: "portable behind net/http", memory: true},
	} {
		on = append(on, openFuzzDoor(f, d, cfg))
	}
	f.Fuzz(func(t *testing.T, stream []byte, one, two uint16) {
		if len(stream) > 4096 {
			return
		}
		a := min(int(one), len(stream))
		b := min(max(int(two), a), len(stream))
		first := ""
		for i, o := range on {
			o.exchange(t, append(bytes.Clone(head), stream[:a]...), stream[a:b], stream[b:])
			select {
			case <-o.app.ended:
			case <-time.After(10 * time.Second):
				t.Fatalf("%s: the session does not end", o.name)
			}
			got := o.app.take()
			if i == 0 {
				first = got
			} else if got != first {
				t.Errorf("% x\n%s:\n%s\n%s:\n%s", stream, on[0].name, first, o.name, got)
			}
		}
	})
}
