package eio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epio-go/epio/codec"
)

// fault is code of the application that panics, or ends its goroutine as testing.T.FailNow does,
// as long as it is armed. It counts.
type fault struct {
	exits bool
	armed atomic.Bool
	hits  atomic.Int64
}

func (f *fault) strike() {
	if !f.armed.Load() {
		return
	}
	f.hits.Add(1)
	if f.exits {
		runtime.Goexit()
	}
	panic("boo")
}

// eachFault runs f for both kinds, behind each door.
func eachFault(t *testing.T, f func(t *testing.T, d door, x *fault)) {
	for _, exits := range []bool{false, true} {
		t.Run(map[bool]string{false: "panic", true: "goexit"}[exits], func(t *testing.T) {
			eachDoor(t, func(t *testing.T, d door) { f(t, d, &fault{exits: exits}) })
		})
	}
}

// faultRig is a rig with a log, and with a client that must be served whatever happens.
type faultRig struct {
	*rig
	log       *lines
	bystander string
}

// lines keeps what is logged.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (d door) faulty(t *testing.T, x *fault, cfg Config, a *app) *faultRig {
	t.Helper()
	r := &faultRig{log: new(lines)}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(r.log, nil))
	}
	cfg.MaxConns = 3
	r.rig = d.open(t, cfg, a)
	r.bystander = r.poll()
	r.session()
	t.Cleanup(func() { x.armed.Store(false) })
	x.armed.Store(true)
	return r
}

// settled disarms the fault and checks that it has struck, that the bystander is served, and that
// nothing is left of anybody else.
func (r *faultRig) settled(x *fault) {
	r.t.Helper()
	eventually(r.t, "the fault strikes", func() bool { return x.hits.Load() > 0 })
	x.armed.Store(false)
	x.hits.Store(0)
	eventually(r.t, "one session is left", func() bool { return r.srv.Sessions() == 1 })
	r.wantAlive(r.bystander)
	if a := r.srv.admission; a != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		if n := len(a.sessions); n > 1 {
			r.t.Errorf("%d sessions are counted for an address", n)
		}
	}
}

// knock sends a request that is cut off, or answered, and reads what comes.
func (r *faultRig) knock(path string, headers ...string) string {
	r.t.Helper()
	nc, err := r.dial()
	if err != nil {
		r.t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(nc, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s\r\n", path, r.addr, strings.Join(headers, ""))
	answer, err := io.ReadAll(nc)
	if err != nil && !strings.Contains(err.Error(), "reset") {
		r.t.Fatalf("the connection was not cut: %v", err)
	}
	return string(answer)
}

const upgradeHeaders = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// A hook that is asked about a handshake costs that handshake: the connection is cut, and neither
// the place of the session is lost nor that of its address.
func TestFaultyHandshakes(t *testing.T) {
	hooks := map[string]func(c *Config, x *fault){
		"AllowRequest": func(c *Config, x *fault) { c.AllowRequest = func(*http.Request) error { x.strike(); return nil } },
		"SessionContext": func(c *Config, x *fault) {
			c.SessionContext = func(*http.Request) context.Context { x.strike(); return nil }
		},
		"OnHeaders":        func(c *Config, x *fault) { c.OnHeaders = func(http.Header, *http.Request) { x.strike() } },
		"OnInitialHeaders": func(c *Config, x *fault) { c.OnInitialHeaders = func(http.Header, *http.Request) { x.strike() } },
		"Overloaded":       func(c *Config, x *fault) { c.Admission.Overloaded = func() time.Duration { x.strike(); return 0 } },
		"AllowOrigin": func(c *Config, x *fault) {
			c.CORS = &CORSOptions{AllowOrigin: func(string, *http.Request) bool { x.strike(); return true }}
		},
		"GenerateID": func(c *Config, x *fault) {
			c.GenerateID = func(*http.Request) (string, error) { x.strike(); return newID(), nil }
		},
		"ClientAddr": func(c *Config, x *fault) {
			c.Admission.ClientAddr = func(*http.Request) netip.Addr { x.strike(); return netip.MustParseAddr("192.0.2.1") }
		},
		"Middleware": func(c *Config, x *fault) {
			c.Middleware = func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					x.strike()
					next.ServeHTTP(w, r)
				})
			}
		},
	}
	for name, set := range hooks {
		t.Run(name, func(t *testing.T) {
			eachFault(t, func(t *testing.T, d door, x *fault) {
				cfg := Config{Admission: Admission{ConnsPerAddress: 3}}
				set(&cfg, x)
				r := d.faulty(t, x, cfg, nil)
				for range 4 { // more than there are places
					for _, transport := range []string{"polling", "websocket"} {
						headers := ""
						if transport == "websocket" {
							headers = upgradeHeaders
						}
						if answer := r.knock("/engine.io/?EIO=4&transport="+transport, headers); strings.Contains(answer, `"sid"`) {
							t.Fatalf("got a session: %q", answer)
						}
					}
				}
				r.settled(x)
				if d.direct && !x.exits && !strings.Contains(r.log.String(), `level=ERROR msg="eio: request panicked" path=/engine.io/ panic=boo stack=`) {
					t.Errorf("not logged: %s", r.log)
				}
			})
		})
	}
}

// A hook that is told of a refusal, the fallback, and a handler of Config.Files cost the request.
func TestFaultyRequests(t *testing.T) {
	eachFault(t, func(t *testing.T, d door, x *fault) {
		broken := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { x.strike() })
		r := d.faulty(t, x, Config{
			OnConnectionError:     func(*ConnectionError) { x.strike() },
			Files:                 map[string]http.Handler{"client.js": broken},
			DestroyUpgrade:        true,
			DestroyUpgradeTimeout: time.Minute,
		}, nil)
		r.srv.SetFallback(broken)
		for _, request := range [][2]string{
			{"/engine.io/?EIO=4&transport=none"},
			{"/engine.io/?EIO=4&transport=websocket&sid=none", upgradeHeaders},
			{"/engine.io/client.js"},
			{"/elsewhere"},
			{"/elsewhere", upgradeHeaders},
		} {
			x.armed.Store(true)
			if answer := r.knock(request[0], request[1]); strings.Contains(answer, "101") {
				t.Errorf("%s: got %q", request[0], answer)
			}
			r.settled(x)
		}
	})
}

// Where packets get lost by a fault, the session is over: nobody would notice the gap.
func TestFaultyAnswers(t *testing.T) {
	eachFault(t, func(t *testing.T, d door, x *fault) {
		r := d.faulty(t, x, Config{OnHeaders: func(http.Header, *http.Request) { x.strike() }}, nil)
		for _, method := range []string{"GET", "POST", "parked GET"} {
			x.armed.Store(false)
			sid := r.poll()
			s := r.session()
			x.armed.Store(true)
			switch method {
			case "GET":
				s.SendMessage([]byte("lost"), false)
				r.get(sid)
			case "POST":
				r.post(sid, "4hello")
				s.Discard(ForcedClose) // it was handled, only the answer was not
			default:
				got := r.parked(sid)
				s.SendMessage([]byte("lost"), false)
				<-got
			}
			<-r.app.closed
			r.settled(x)
		}
	})
}

// A Handler that panics costs the session.
func TestFaultyHandler(t *testing.T) {
	eachFault(t, func(t *testing.T, d door, x *fault) {
		var current atomic.Value // of type string
		in := func(name string) {
			if current.Load() == name {
				x.strike()
			}
		}
		r := d.faulty(t, x, Config{}, &app{
			onOpen:    func(*Session) { in("Open") },
			onMessage: func(*Session, []byte, bool) { in("Message") },
			onClose:   func(*Session) { in("Close") },
		})
		for _, method := range []string{"Open", "Message", "Close"} {
			current.Store(method)
			for range 3 {
				x.armed.Store(method != "Message")
				if method == "Open" {
					r.knock("/engine.io/?EIO=4&transport=polling")
				} else {
					sid := r.poll()
					x.armed.Store(true)
					r.post(sid, "4hello")
					if s := r.srv.Session(sid); method == "Close" {
						go s.Close(ForcedClose) // whose goroutine calls Close
						eventually(t, "the session is closed", s.Closed)
						r.get(sid)
					}
				}
				r.settled(x)

				x.armed.Store(method != "Message")
				if method == "Open" {
					r.knock("/engine.io/?EIO=4&transport=websocket", upgradeHeaders)
				} else {
					ws := r.websocket()
					x.armed.Store(true)
					ws.send("4hello")
					if method == "Close" {
						ws.nc.Close()
					}
				}
				r.settled(x)
			}
		}
		if !x.exits && strings.Count(r.log.String(), `panic=boo stack=`) < 12 {
			t.Errorf("not logged: %s", r.log)
		}
	})
}

// What observes sessions costs nothing but itself: the session goes on, and the later events are told.
func TestFaultyHooks(t *testing.T) {
	hooks := map[string]func(c *Config, x *fault){
		"Packet":       func(c *Config, x *fault) { c.Hooks.Packet = func(*Session, codec.Packet) { x.strike() } },
		"PacketCreate": func(c *Config, x *fault) { c.Hooks.PacketCreate = func(*Session, codec.Packet) { x.strike() } },
		"Flush":        func(c *Config, x *fault) { c.Hooks.Flush = func(*Session, int) { x.strike() } },
		"Drain":        func(c *Config, x *fault) { c.Hooks.Drain = func(*Session) { x.strike() } },
		"Upgrading":    func(c *Config, x *fault) { c.Hooks.Upgrading = func(*Session, Transport) { x.strike() } },
		"Upgrade":      func(c *Config, x *fault) { c.Hooks.Upgrade = func(*Session, Transport) { x.strike() } },
		"SendFunc":     func(*Config, *fault) {},
		"OnSlow":       func(c *Config, x *fault) { c.Flow = Flow{HighWater: 1000, OnSlow: func(*Session, int) { x.strike() }} },
		"Logger": func(c *Config, x *fault) {
			c.Hooks, c.Logger = nil, slog.New(faultyLog{slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug}), x})
		},
	}
	for name, set := range hooks {
		t.Run(name, func(t *testing.T) {
			defer log.SetOutput(log.Writer())
			log.SetOutput(io.Discard)
			eachFault(t, func(t *testing.T, d door, x *fault) {
				if x.exits && (name == "Packet" || name == "PacketCreate" || name == "Logger") {
					t.Skip("called on goroutines that are not to be ended, see Hooks")
				}
				cfg := Config{Hooks: new(Hooks)}
				set(&cfg, x)
				r := d.faulty(t, x, cfg, nil)
				for range 3 {
					sid := r.poll()
					s := r.session()
					x.armed.Store(true)
					if name == "SendFunc" {
						s.SendFunc(codec.NewTextFrame(codec.Message, []byte("x")), func(error) { x.strike() })
						r.get(sid).want(200, "4x")
					}
					if name == "OnSlow" {
						s.SendMessage(make([]byte, 2000), false)
						eventually(t, "OnSlow is called", func() bool { return x.hits.Load() > 0 })
						r.get(sid)
					}
					if name == "Logger" {
						r.do("GET", pollingPath+"&sid=none", "")
					}
					r.post(sid, "4on polling").want(200, "ok")
					r.get(sid).want(200, "4on polling")
					ws := r.candidate(sid)
					ws.send("2probe")
					ws.want("3probe")
					ws.send("5")
					ws.send("4on websocket")
					ws.want("4on websocket")
					r.wantSaid("on polling", "on websocket")
					eventually(t, "the hook is called", func() bool { return x.hits.Load() > 0 })
					ws.nc.Close()
					r.wantClose(TransportClose)
					r.settled(x)
				}
				if !x.exits && name != "Logger" && !strings.Contains(r.log.String(), `panicked" panic=boo stack=`) {
					t.Errorf("not logged: %s", r.log)
				}
			})
		})
	}
}

// faultyLog is a log handler.
type faultyLog struct {
	slog.Handler
	x *fault
}

func (l faultyLog) Handle(ctx context.Context, r slog.Record) error {
	l.x.strike()
	return l.Handler.Handle(ctx, r)
}

func (l faultyLog) WithAttrs(a []slog.Attr) slog.Handler {
	return faultyLog{l.Handler.WithAttrs(a), l.x}
}

// A body that a middleware has put in, and a writer, are code of the application, too.
func TestFaultyBodies(t *testing.T) {
	eachFault(t, func(t *testing.T, d door, x *fault) {
		r := d.faulty(t, x, Config{Middleware: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Body = faultyBody{r.Body, x}
				next.ServeHTTP(&faultyWriter{w, x}, r)
			})
		}}, nil)
		for range 4 {
			x.armed.Store(false)
			sid := r.poll()
			s := r.session()
			x.armed.Store(true)
			r.post(sid, "4hello")
			if !s.Closed() {
				t.Error("the session goes on without what was in the POST")
			}
			r.settled(x)
			sid = r.poll()
			s = r.session()
			s.SendMessage([]byte("lost"), false)
			x.armed.Store(true)
			r.get(sid)
			r.settled(x)
		}
	})
}

type faultyBody struct {
	io.ReadCloser
	x *fault
}

func (b faultyBody) Read([]byte) (int, error) { b.x.strike(); return 0, errors.New("no fault") }

type faultyWriter struct {
	http.ResponseWriter
	x *fault
}

func (w *faultyWriter) Write(p []byte) (int, error) { w.x.strike(); return w.ResponseWriter.Write(p) }
func (w *faultyWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
