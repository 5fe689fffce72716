package eio

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/internal/memconn"
	"github.com/epio-go/epio/pool"
)

// patience is how long a test waits for something that must happen.
const patience = 5 * time.Second

// door is a way into a server.
type door struct {
	name     string
	direct   bool // Serve instead of ServeHTTP
	portable bool
	reactor  engine.Reactor
	memory   bool // in-memory connections, for synctest
	tls      bool
}

var (
	doors = []door{
		{name: "door=http"},
		{name: "door=http,engine=portable", portable: true},
		{name: "door=direct", direct: true},
		{name: "door=direct,engine=portable", direct: true, portable: true},
		{name: "door=direct,engine=netpoll", direct: true, reactor: engine.Netpoll},
	}
	memoryDoors = []door{
		{name: "door=http", memory: true},
		{name: "door=direct", direct: true, memory: true},
	}
)

// eachDoor runs f once per door over real sockets.
func eachDoor(t *testing.T, f func(t *testing.T, d door)) {
	for _, d := range doors {
		t.Run(d.name, func(t *testing.T) { f(t, d) })
	}
}

// eachMemoryDoor runs f once per door in a bubble with fake time.
func eachMemoryDoor(t *testing.T, f func(t *testing.T, d door)) {
	for _, d := range memoryDoors {
		t.Run(d.name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { f(t, d) }) })
	}
}

// rig is a running server with an application that records what it is told.
type rig struct {
	t     *testing.T
	door  door
	srv   *Server
	app   *app
	dial  func() (net.Conn, error)
	below func() (net.Conn, error) // dial without TLS
	addr  string
	http  *http.Client
	stop  func()
}

// open starts a server behind d. The test fails if anything is left when it ends.
func (d door) open(t *testing.T, cfg Config, a *app) *rig {
	t.Helper()
	if a == nil {
		a = &app{echo: true}
	}
	a.init(t)
	if !d.memory {
		rigs.opened()
	}
	cfg.Portable = cfg.Portable || d.portable || d.memory
	cfg.Reactor = d.reactor
	srv, err := NewServer(cfg, a)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, srv: srv, app: a, door: d}
	var ln net.Listener
	if d.memory {
		m := memconn.Listen()
		ln, r.addr, r.dial = m, "memory", m.Dial
	} else {
		if ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		r.addr = ln.Addr().String()
		r.dial = func() (net.Conn, error) { return net.Dial("tcp", r.addr) }
	}
	r.below = r.dial
	if d.tls {
		ln = tls.NewListener(ln, serverTLS())
		r.dial = func() (net.Conn, error) {
			nc, err := r.below()
			if err != nil {
				return nil, err
			}
			return tls.Client(nc, &tls.Config{InsecureSkipVerify: true}), nil
		}
	}
	var wg sync.WaitGroup
	hs := &http.Server{Handler: srv, ErrorLog: log.New(io.Discard, "", 0)}
	if d.direct {
		wg.Go(func() {
			if err := srv.Serve(ln); !errors.Is(err, ErrServerClosed) {
				t.Errorf("Serve returned %v", err)
			}
		})
	} else {
		wg.Go(func() { hs.Serve(ln) })
	}
	transport := &http.Transport{
		DialContext:        func(context.Context, string, string) (net.Conn, error) { return r.dial() },
		DisableCompression: true,
	}
	r.http = &http.Client{Transport: transport}
	var once sync.Once
	r.stop = func() {
		once.Do(func() {
			srv.Close()
			hs.Close()
			wg.Wait()
			transport.CloseIdleConnections()
			if n := srv.Sessions(); n != 0 {
				t.Errorf("%d sessions left", n)
			}
			a.settled()
			if !d.memory {
				// In a bubble synctest itself finds leaked goroutines.
				rigs.closed(t)
			}
		})
	}
	t.Cleanup(r.stop)
	return r
}

// serverTLS is the configuration of a server with a certificate that nobody knows.
var serverTLS = sync.OnceValue(func() *tls.Config {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	s.Close()
	return &tls.Config{Certificates: s.TLS.Certificates}
})

// openRigs are the rigs with sockets that are open, and what there was before the first of them. Their tests do not run in parallel.
type openRigs struct{ n, live, goroutines int }

var rigs openRigs

func (o *openRigs) opened() {
	if o.n++; o.n == 1 {
		o.live, o.goroutines = pool.Live(), runtime.NumGoroutine()
	}
}

// closed looks, after the last of them, at what is left: the connections of another one may take more or less meanwhile.
func (o *openRigs) closed(t *testing.T) {
	t.Helper()
	if o.n--; o.n == 0 {
		eventually(t, "goroutines and buffers are back", func() bool {
			return runtime.NumGoroutine() <= o.goroutines+sharedGoroutines && pool.Live() <= o.live
		})
	}
}

// sharedGoroutines is what the process keeps once its first reactor has run.
const sharedGoroutines = 8

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s (%d goroutines, %d buffers)", what, runtime.NumGoroutine(), pool.Live())
		}
		time.Sleep(time.Millisecond)
	}
}

// app records calls, and echoes if told to. Sessions of ordinary clients are echoed and not recorded.
type app struct {
	echo      bool
	onOpen    func(*Session)
	onMessage func(*Session, []byte, bool)
	onClose   func(*Session)
	lossy     bool // floods are expected: echoes may meet a full buffer, not all of it is recorded
	room      int  // for sessions that nobody waits for; 0 for few

	t      *testing.T
	opened chan *Session
	said   chan string // messages: text as it is, binary in hex with "0x" in front
	closed chan end

	mu    sync.Mutex
	state map[*Session]*sessionLog
}

type sessionLog struct {
	closed bool
	inside bool
}

type end struct {
	s      *Session
	reason Reason
	err    error
}

func (a *app) init(t *testing.T) {
	a.t = t
	a.opened = make(chan *Session, max(a.room, 1024))
	a.said = make(chan string, 65536)
	a.closed = make(chan end, max(a.room, 1024))
	a.state = make(map[*Session]*sessionLog)
}

// enter checks the contract of Handler: serial calls, Open first, nothing after Close.
func (a *app) enter(s *Session, what string) func() {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.state[s]
	switch {
	case what == "Open":
		if l != nil {
			a.t.Error("Open twice")
		}
		l = new(sessionLog)
		a.state[s] = l
	case l == nil:
		a.t.Errorf("%s before Open", what)
		l = new(sessionLog)
		a.state[s] = l
	}
	if l.inside {
		a.t.Errorf("%s during another call", what)
	}
	if l.closed {
		a.t.Errorf("%s after Close", what)
	}
	l.inside = true
	l.closed = what == "Close"
	return func() {
		a.mu.Lock()
		l.inside = false
		a.mu.Unlock()
	}
}

// settled checks that every session that was opened has been closed.
func (a *app) settled() {
	eventually(a.t, "every Open has its Close", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, l := range a.state {
			if !l.closed || l.inside {
				return false
			}
		}
		return true
	})
}

func (a *app) Open(s *Session) {
	defer a.enter(s, "Open")()
	if a.onOpen != nil {
		a.onOpen(s)
	}
	if !isOrdinary(s) {
		a.opened <- s
	}
}

func (a *app) Message(s *Session, data []byte, binary bool) {
	defer a.enter(s, "Message")()
	if isOrdinary(s) {
		// echoed
	} else if a.onMessage != nil {
		a.onMessage(s, data, binary)
	} else {
		a.hear(data, binary)
	}
	if a.echo {
		if err := s.SendMessage(data, binary); err != nil && !errors.Is(err, net.ErrClosed) && !(a.lossy && errors.Is(err, ErrBufferFull)) {
			a.t.Errorf("echo: %v", err)
		}
	}
}

// hear tells the test of a message. Sessions are concurrent, so a flood may fill the channel at any moment.
func (a *app) hear(data []byte, binary bool) {
	said := string(data)
	if binary {
		said = fmt.Sprintf("0x%x", data)
	}
	if !a.lossy {
		a.said <- said
		return
	}
	select {
	case a.said <- said:
	default:
	}
}

func (a *app) Close(s *Session, reason Reason, err error) {
	defer a.enter(s, "Close")()
	if a.onClose != nil {
		a.onClose(s)
	}
	if !isOrdinary(s) {
		a.closed <- end{s, reason, err}
	}
}

// wait receives from one of the recorder's channels.
func wait[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

func (r *rig) session() *Session { r.t.Helper(); return wait(r.t, r.app.opened, "Open") }

func (r *rig) wantSaid(want ...string) {
	r.t.Helper()
	for _, w := range want {
		if got := wait(r.t, r.app.said, "Message "+w); got != w {
			r.t.Fatalf("got message %q, want %q", got, w)
		}
	}
}

// wantClose waits for the end of a session and checks its reason, and its cause if
// one is given.
func (r *rig) wantClose(reason Reason, cause ...error) {
	r.t.Helper()
	e := wait(r.t, r.app.closed, "Close")
	if e.reason != reason {
		r.t.Fatalf("closed with %q (%v), want %q", e.reason, e.err, reason)
	}
	if len(cause) > 0 && !errors.Is(e.err, cause[0]) {
		r.t.Fatalf("closed because of %v, want %v", e.err, cause[0])
	}
}

// wantAlive checks that session sid still answers polls.
func (r *rig) wantAlive(sid string) {
	r.t.Helper()
	s := r.srv.Session(sid)
	if s == nil {
		r.t.Fatal("session is gone")
	}
	if err := s.SendMessage([]byte("still here"), false); err != nil {
		r.t.Fatal(err)
	}
	r.get(sid).want(200, "4still here")
}
