package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/epio-go/epio/eio"
	"github.com/epio-go/epio/sio"
)

// echo sends every message back.
type echo struct{}

func (echo) Open(*eio.Session) {}

func (echo) Message(s *eio.Session, data []byte, binary bool) {
	s.SendMessage(data, binary) // a session that is closed needs no echo
}

func (echo) Close(*eio.Session, eio.Reason, error) {}

func suiteEIO(o *options) (*eio.Server, *sio.Server, error) {
	c := o.anyOrigin()
	c.PingInterval, c.PingTimeout = 300*time.Millisecond, 200*time.Millisecond
	srv, err := eio.NewServer(c, echo{})
	return srv, nil, err
}

func suiteEIO3(o *options) (*eio.Server, *sio.Server, error) {
	o.eio3 = true
	return suiteEIO(o)
}

// clientEIO is the application of engine.io-client's tests.
type clientEIO struct {
	mu    sync.Mutex
	posts map[string]http.Header // by session: headers of the newest POST
}

func suiteClientEIO(o *options) (*eio.Server, *sio.Server, error) {
	h := &clientEIO{posts: make(map[string]http.Header)}
	c := o.base()
	c.Middleware = h.postHeaders
	c.PingInterval = 500 * time.Millisecond
	if c.MaxPayload == 0 {
		c.MaxPayload = 100
	}
	c.AllowRequest = refuseDeny
	c.OnInitialHeaders = func(h http.Header, _ *http.Request) {
		h.Add("Set-Cookie", "1=1; Max-Age=86400")
		h.Add("Set-Cookie", "2=2; SameSite=Strict; Path=/; HttpOnly; Secure")
		h.Add("Set-Cookie", "3=3; Max-Age=0")
		h.Add("Set-Cookie", "4=4; Expires="+time.Now().UTC().Format(http.TimeFormat))
	}
	srv, err := eio.NewServer(c, h)
	return srv, nil, err
}

// postHeaders keeps the headers of POST requests before next handles them.
func (h *clientEIO) postHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			h.mu.Lock()
			h.posts[r.URL.Query().Get("sid")] = r.Header.Clone()
			h.mu.Unlock()
		}
		next.ServeHTTP(w, r)
	})
}

func (h *clientEIO) Open(s *eio.Session) { s.SendMessage([]byte("hi"), false) }

func (h *clientEIO) Message(s *eio.Session, data []byte, binary bool) {
	text := ""
	if !binary {
		text = string(data)
	}
	switch text {
	case "give binary":
		s.SendMessage([]byte{0, 1, 2, 3, 4}, true)
	case "give utf8":
		s.SendMessage([]byte("пойду спать всем спокойной ночи"), false)
	case "sendHeaders":
		s.SendMessage(h.headers(s.ID()), false)
	default:
		s.SendMessage(data, binary)
	}
}

// headers returns the headers of the session's newest POST as Node shows them.
func (h *clientEIO) headers(sid string) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make(map[string]string)
	for name, values := range h.posts[sid] {
		out[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil // strings always encode
	}
	return b
}

func (h *clientEIO) Close(s *eio.Session, _ eio.Reason, _ error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.posts, s.ID())
}
