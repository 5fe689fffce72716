package eio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/internal/memconn"
)

// withWT is cfg with all transports.
func withWT(cfg Config) Config {
	cfg.Transports = []string{"polling", "websocket", "webtransport"}
	return cfg
}

// wtTest runs f with a server that takes WebTransport, in a bubble with fake time. The
// application echoes unless a is given.
func wtTest(t *testing.T, cfg Config, a *app, f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(memoryDoors[0].open(t, withWT(cfg), a)) })
}

// memSession is a WebTransport session in memory, at the server's end.
type memSession struct {
	nc      *memconn.Conn
	streams chan WebTransportStream
	ended   chan struct{} // closed when the server has closed the session
	once    sync.Once
}

func (m *memSession) AcceptStream(ctx context.Context) (WebTransportStream, error) {
	select {
	case s := <-m.streams:
		return s, nil
	case <-m.ended:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (m *memSession) Close() error {
	m.once.Do(func() { close(m.ended) })
	return m.nc.Close()
}

func (m *memSession) LocalAddr() net.Addr  { return m.nc.LocalAddr() }
func (m *memSession) RemoteAddr() net.Addr { return m.nc.RemoteAddr() }

// wtClient is the client's end of a WebTransport session and its stream.
type wtClient struct {
	t        *testing.T
	nc       *memconn.Conn
	session  *memSession
	answer   *httptest.ResponseRecorder
	answered chan struct{} // closed when the handler of the CONNECT request has returned
	rest     []byte        // received, not looked at yet
	open     openInfo
}

// wtRequest returns a CONNECT request as an HTTP/3 server makes it.
func wtRequest(query string, headers ...string) *http.Request {
	uri := "/engine.io/"
	if query != "" {
		uri += "?" + query
	}
	u, err := url.Parse(uri)
	if err != nil {
		panic(err)
	}
	r := &http.Request{
		Method: http.MethodConnect, URL: u, RequestURI: "epio.test", Host: "epio.test", Proto: "webtransport", ProtoMajor: 3,
		Header: make(http.Header), RemoteAddr: "192.0.2.1:4433", Body: http.NoBody,
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

// dialWT sends a CONNECT request. Nothing is said on the stream yet; it is there once
// something is.
func (r *rig) dialWT(req *http.Request) *wtClient {
	client, server := memconn.PipeSize(32 << 10)
	c := &wtClient{
		t: r.t, nc: client, answer: httptest.NewRecorder(), answered: make(chan struct{}),
		session: &memSession{nc: server, streams: make(chan WebTransportStream, 1), ended: make(chan struct{})},
	}
	r.t.Cleanup(func() { client.Close() })
	h := r.srv.WebTransport(func(w http.ResponseWriter, _ *http.Request) (WebTransportSession, error) {
		w.WriteHeader(http.StatusOK)
		return c.session, nil
	})
	go func() {
		defer close(c.answered)
		h.ServeHTTP(c.answer, req)
	}()
	return c
}

// wt opens a WebTransport session with the packet first on its stream.
func (r *rig) wt(query, first string) *wtClient {
	c := r.dialWT(wtRequest(query))
	c.stream()
	c.send(first)
	return c
}

const wtQuery = "EIO=4&transport=webtransport"

// webtransport opens a session on WebTransport.
func (r *rig) webtransport() *wtClient {
	r.t.Helper()
	c := r.wt(wtQuery, "0")
	c.open = parseOpen(r.t, c.text())
	return c
}

// wtCandidate opens a WebTransport for the session sid, as the official client does.
func (r *rig) wtCandidate(sid string) *wtClient {
	return r.wt(wtQuery+"&sid="+sid, fmt.Sprintf(`0{"sid":%q}`, sid))
}

// stream opens the stream.
func (c *wtClient) stream() { c.session.streams <- c.session.nc }

func (c *wtClient) write(b []byte) {
	c.t.Helper()
	if _, err := c.nc.Write(b); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

func wtPacket(packet string, isBinary bool) []byte {
	return append(codec.AppendWTHeader(nil, isBinary, len(packet)), packet...)
}

func (c *wtClient) send(packets ...string) {
	c.t.Helper()
	for _, p := range packets {
		c.write(wtPacket(p, false))
	}
}

func (c *wtClient) sendBinary(data string) { c.t.Helper(); c.write(wtPacket(data, true)) }

// next reads one packet.
func (c *wtClient) next() (codec.WTPacket, error) {
	for {
		p, n, err := codec.NextWT(c.rest, 16<<20)
		if n > 0 || err != nil {
			c.rest = c.rest[n:]
			return p, err
		}
		b := make([]byte, 4096)
		c.nc.SetReadDeadline(time.Now().Add(time.Hour))
		if n, err = c.nc.Read(b); n == 0 {
			return p, err
		}
		c.rest = append(c.rest, b[:n]...)
	}
}

func (c *wtClient) text() string {
	c.t.Helper()
	p, err := c.next()
	if err != nil || p.Binary {
		c.t.Fatalf("got packet %q, binary=%t, %v, want text", p.Data, p.Binary, err)
	}
	return string(p.Data)
}

func (c *wtClient) want(packets ...string) {
	c.t.Helper()
	for _, w := range packets {
		if got := c.text(); got != w {
			c.t.Fatalf("got packet %q, want %q", got, w)
		}
	}
}

func (c *wtClient) wantBinary(data string) {
	c.t.Helper()
	if p, err := c.next(); err != nil || !p.Binary || string(p.Data) != data {
		c.t.Fatalf("got %d bytes, binary=%t, %v, want %d bytes of binary", len(p.Data), p.Binary, err, len(data))
	}
}

// wantClosed waits until the server has closed the session, and checks that nothing more came
// on the stream.
func (c *wtClient) wantClosed() {
	c.t.Helper()
	if p, err := c.next(); !errors.Is(err, io.EOF) || len(c.rest) > 0 {
		c.t.Fatalf("got packet %q, % x, %v, want the end", p.Data, c.rest, err)
	}
	wait(c.t, c.session.ended, "the end of the session")
}

func (c *wtClient) wantStatus(status int, code ErrorCode) {
	c.t.Helper()
	wait(c.t, c.answered, "the answer")
	want := fmt.Sprintf(`{"code":%d,"message":%q}`, code, code.String())
	if c.answer.Code != status || c.answer.Body.String() != want {
		c.t.Errorf("got %d %q, want %d %s", c.answer.Code, c.answer.Body, status, want)
	}
}

// isOpen reports whether the session is open still.
func (c *wtClient) isOpen() bool {
	select {
	case <-c.session.ended:
		return false
	default:
		return true
	}
}

// refusals records what Config.OnConnectionError is told.
type refusals struct {
	mu   sync.Mutex
	list []*ConnectionError
}

func (f *refusals) add(e *ConnectionError) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, e)
}

// take returns what was recorded since the last call.
func (f *refusals) take() []*ConnectionError {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := slices.Clone(f.list)
	f.list = nil
	return list
}

// soon reports whether d is due or not much more, as the timers of the wheel are.
func soon(d, due time.Duration) bool { return due <= d && d < due+due/100+200*time.Millisecond }

func repeat(s string, n int) string { return string(bytes.Repeat([]byte(s), n)) }
