package eio

import (
	"errors"
	"math"
	"net"
	"sync"
	"time"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/engine"
)

// wtConn is a Session as the engine sees it when its main transport is WebTransport: the
// handler of the stream.
type wtConn Session

// Data implements engine.Handler.
func (h *wtConn) Data(c *engine.Conn, p []byte) (used int) {
	s := (*Session)(h)
	if s.conn.Load() == nil {
		s.attach(c)
	}
	s.mu.Lock()
	if s.m.phase == phaseClosed {
		s.mu.Unlock()
		return len(p) // of no interest any more
	}
	s.occupyLocked()
	s.mu.Unlock()
	defer s.vacate()

	for used < len(p) {
		if s.paused.Load() && s.pauseConn(c) {
			return used
		}
		packet, n, err := nextWT(p[used:], s.srv.cfg.MaxPayload)
		if err == nil && n == 0 {
			return used
		}
		if !s.received(packet, err) {
			return len(p)
		}
		used += n
	}
	if s.paused.Load() {
		s.pauseConn(c)
	}
	return used
}

// Closed implements engine.Handler.
func (h *wtConn) Closed(c *engine.Conn, err error) { (*wsConn)(h).Closed(c, err) }

// nextWT cuts the first packet off p, see [codec.NextWT]. The packet aliases p, which is
// borrowed for writing.
func nextWT(p []byte, limit int) (codec.Packet, int, error) {
	cut, n, err := codec.NextWT(p, limit)
	if errors.Is(err, codec.ErrWTSize) {
		err = &SizeError{Size: int64(min(cut.Size, math.MaxInt64)), Limit: limit}
	}
	if err != nil || n == 0 {
		return codec.Packet{}, 0, err
	}
	packet, err := cut.Parse()
	return packet, n, err
}

// wtCandidate is a candidate as the engine sees it when it is a WebTransport: the handler of
// the stream.
type wtCandidate candidate

// Data implements engine.Handler.
func (h *wtCandidate) Data(c *engine.Conn, p []byte) (used int) {
	k := (*candidate)(h)
	k.attach(c)
	for used < len(p) {
		k.s.mu.Lock()
		dropped, switched, held := k.dropped, k.switched, k.s.m.candidate == stagePending
		k.s.mu.Unlock()
		switch {
		case switched:
			c.SetHandler((*wtConn)(k.s))
			return used
		case dropped:
			return len(p)
		case held:
			return used // paused already
		}
		packet, n, err := nextWT(p[used:], k.s.srv.cfg.MaxPayload)
		if err == nil && n == 0 {
			return used
		}
		used += n
		k.packet(c, packet, err)
	}
	return used
}

// Closed implements engine.Handler.
func (h *wtCandidate) Closed(c *engine.Conn, err error) { (*candidate)(h).Closed(c, err) }

// wtFarewell is how long a WebTransport session lives on after the last byte has been written
// and our half of the stream closed. The end of a session resets its streams, and what was
// lost on the way is not sent again then. The client need not do anything with the end of the
// stream, and the official one does not.
const wtFarewell = 500 * time.Millisecond

// wtStream is a WebTransport session with its stream as the engine takes it: a connection.
type wtStream struct {
	WebTransportStream
	session WebTransportSession

	once  sync.Once
	timer *time.Timer
}

// CloseWrite is called by the engine when everything has been written.
func (n *wtStream) CloseWrite() error {
	err := n.WebTransportStream.CloseWrite()
	n.once.Do(func() { n.timer = time.AfterFunc(wtFarewell, func() { n.session.Close() }) })
	return err
}

// Close implements net.Conn.
func (n *wtStream) Close() error {
	n.once.Do(func() {})
	if n.timer != nil {
		n.timer.Stop()
	}
	return n.session.Close()
}

func (n *wtStream) LocalAddr() net.Addr  { return n.session.LocalAddr() }
func (n *wtStream) RemoteAddr() net.Addr { return n.session.RemoteAddr() }

// Deadlines are not needed: the engine ends a blocked call with Close.

func (n *wtStream) SetDeadline(time.Time) error      { return errors.ErrUnsupported }
func (n *wtStream) SetReadDeadline(time.Time) error  { return errors.ErrUnsupported }
func (n *wtStream) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }
