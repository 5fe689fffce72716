package sio

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epio-go/epio/eio"
	"github.com/epio-go/epio/pool"
)

// What TestMemoryLimit gives its server.
const (
	limitedMemory = 96 << 20
	limitedBuffer = 1 << 20 // SendBuffer
	limitedConns  = 300     // which would fill three times as much
)

// memoryGuard is the example in docs/operations.md.
type memoryGuard struct {
	mu      sync.Mutex
	checked time.Time
	busy    bool
}

func (g *memoryGuard) overloaded() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Since(g.checked) > time.Second || !g.busy {
		g.busy = g.full()
		g.checked = time.Now()
	}
	if g.busy {
		return 5 * time.Second
	}
	return 0
}

func (g *memoryGuard) full() bool {
	most := uint64(debug.SetMemoryLimit(-1)) / 10 * 6
	if objects() < most {
		return false
	}
	runtime.GC() // how much of it is garbage?
	return objects() >= most
}

func objects() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// smallBuffers is a listener whose connections hold little in the kernel.
type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err == nil {
		err = nc.(*net.TCPConn).SetWriteBuffer(8 << 10)
	}
	return nc, err
}

// usage is what the limited server tells of itself.
type usage struct {
	Heap     uint64 `json:"heap"` // bytes in use
	Sessions int    `json:"sessions"`
	Frames   int    `json:"frames"` // not released; in builds that count them
	GCs      uint32 `json:"gcs"`
}

// TestLimitedServer is the process of TestMemoryLimit.
func TestLimitedServer(t *testing.T) {
	if os.Getenv("EPIO_LIMITED") == "" {
		t.Skip("only for TestMemoryLimit")
	}
	srv, err := New(Config{
		WhenFull: DropWhenFull,
		Engine: eio.Config{
			MaxConns:   limitedConns,
			SendBuffer: limitedBuffer,
			Admission:  eio.Admission{Overloaded: new(memoryGuard).overloaded},
		},
	})
	must(t, err)
	OnAck0(srv, "echo", func(context.Context, *Socket) (string, error) { return "ok", nil })
	// Takes all the memory that one client can make the server keep.
	OnAck0(srv, "fill", func(_ context.Context, s *Socket) (None, error) {
		for n := 0; ; n++ {
			payload := strings.Repeat(string(rune('a'+n%26)), 64<<10)
			if err := s.Emit("much", payload); err != nil {
				if !errors.Is(err, ErrBufferFull) {
					return None{}, err
				}
				return None{}, nil
			}
		}
	})
	OnAck0(srv, "usage", func(context.Context, *Socket) (u usage, err error) {
		debug.FreeOSMemory()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return usage{m.HeapInuse, srv.Engine().Sessions(), pool.Live(), m.NumGC}, nil
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	go srv.Serve(smallBuffers{ln})
	fmt.Println("listening:", ln.Addr())
	io.Copy(io.Discard, os.Stdin)
	srv.Close()
}

// A server is given less memory than its clients could make it use, and clients that use all they
// can: WebSockets that are not read, polling clients that do not come, polls that are parked. It
// refuses further ones with 503 in time, serves those that it has, and has its memory back when
// they have gone.
func TestMemoryLimit(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestLimitedServer$")
	cmd.Env = append(os.Environ(), "EPIO_LIMITED=1", "GOGC=off", fmt.Sprintf("GOMEMLIMIT=%d", limitedMemory))
	stdin, err := cmd.StdinPipe()
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	defer cmd.Wait()
	defer stdin.Close()
	first, err := bufio.NewReader(stdout).ReadString('\n')
	must(t, err)
	addr := strings.TrimSpace(strings.TrimPrefix(first, "listening: "))
	small := func() (net.Conn, error) {
		nc, err := net.Dial("tcp", addr)
		if err == nil {
			err = nc.(*net.TCPConn).SetReadBuffer(4 << 10)
		}
		return nc, err
	}
	r := remote(t, addr, small)
	join := func(p *peer) *peer {
		p.send("40")
		p.joined("/")
		return p
	}
	ordinary := join(r.websocket())
	ask := func(event string) string {
		t.Helper()
		ordinary.send(`421["` + event + `"]`)
		return ordinary.next().data
	}
	parked := make(chan error, 20)
	ctx, unpark := context.WithCancel(t.Context())
	for range cap(parked) {
		p := join(r.polling())
		go func() {
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
			_, err := r.http.Do(req)
			parked <- err
		}()
	}

	// Clients that keep all they can, until no more are let in.
	var greedy []*peer
	refused := 0
	for n := 0; refused < 10; n++ {
		if n == limitedConns {
			t.Fatal("nobody was refused")
		}
		p, resp := r.knock("", "")
		if resp.StatusCode != http.StatusSwitchingProtocols {
			if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "5" {
				t.Fatalf("refused with %s", resp.Status)
			}
			refused++
			p.close()
			continue
		}
		p.next() // OPEN
		if n%2 == 1 {
			p.close()
			p = r.pollingIf()
			if p == nil {
				refused++
				continue
			}
		}
		greedy = append(greedy, join(p))
		p.send(`42["fill"]`)
		if got := ask("echo"); got != goodAnswer {
			t.Fatalf("got %q", got)
		}
	}
	for range 100 {
		if got := ask("echo"); got != goodAnswer {
			t.Fatalf("got %q", got)
		}
	}
	full := ask("usage")
	t.Logf("%d greedy clients: %s", len(greedy), full)
	if len(greedy) < 10 {
		t.Errorf("refused although there were only %d", len(greedy))
	}

	for _, p := range greedy {
		if p.nc == nil {
			p.send("1") // CLOSE
		}
		p.close()
	}
	unpark()
	for range cap(parked) {
		<-parked
	}
	eventually(t, "others are let in again", func() bool {
		p, resp := r.knock("", "")
		p.close()
		return resp.StatusCode == http.StatusSwitchingProtocols
	})
	var after usage
	eventually(t, "the memory is back", func() bool {
		answer := ask("usage")
		if _, err := fmt.Sscanf(answer, `431[{"heap":%d,"sessions":%d,"frames":%d,"gcs":%d}]`, &after.Heap, &after.Sessions, &after.Frames, &after.GCs); err != nil {
			t.Fatalf("%q: %v", answer, err)
		}
		return after.Sessions == 1 && after.Heap < limitedMemory/4 && after.Frames <= 1 // the answer's
	})
	t.Logf("afterwards: %+v", after)
}

// pollingIf is polling, or nil if the server is overloaded.
func (r *rig) pollingIf() *peer {
	r.t.Helper()
	p := &peer{t: r.t, r: r, url: "http://" + r.addr + "/socket.io/?EIO=4&transport=polling"}
	open, err := p.read(patience)
	if err != nil {
		if !strings.Contains(err.Error(), "503 ") {
			r.t.Fatal(err)
		}
		return nil
	}
	sid, _, _ := strings.Cut(strings.TrimPrefix(open.data, `0{"sid":"`), `"`)
	p.url += "&sid=" + sid
	return p
}
