package eio

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/gobwas/ws"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/pool"
)

// wsLinger is how long a WebSocket that we closed may take to answer with its
// own close frame.
const wsLinger = 2 * time.Second

// wsConn is a Session as the engine sees it: the handler of its main WebSocket.
// The type exists so that these methods are not the Session's own.
type wsConn Session

// Data implements engine.Handler.
func (h *wsConn) Data(c *engine.Conn, p []byte) (used int) {
	s := (*Session)(h)
	if s.conn.Load() == nil {
		s.attach(c)
	}
	s.mu.Lock()
	if s.m.phase == phaseClosed {
		s.mu.Unlock()
		return linger(c, p)
	}
	s.occupyLocked()
	s.mu.Unlock()
	defer s.vacate()

	for used < len(p) {
		if s.paused.Load() && s.pauseConn(c) {
			return used
		}
		m, n, err := s.rd.next(p[used:], s.srv.cfg.MaxPayload)
		if err != nil {
			s.lose(TransportError, err)
			return len(p)
		}
		if n == 0 {
			return used
		}
		used += n
		alive := s.message(c, &m)
		m.release()
		if !alive {
			return used + linger(c, p[used:])
		}
	}
	if s.paused.Load() {
		s.pauseConn(c)
	}
	return used
}

// Closed implements engine.Handler.
func (h *wsConn) Closed(c *engine.Conn, err error) {
	s := (*Session)(h)
	s.rd.release()
	s.mu.Lock()
	if s.conn.Load() == nil {
		// Closed before anything was received.
		s.out.drop()
	}
	s.mu.Unlock()
	s.lose(closeReason(err), err)
}

// message handles one WebSocket message. It reports whether the session goes on.
func (s *Session) message(c *engine.Conn, m *wsMessage) bool {
	var packet codec.Packet
	var err error
	switch m.op {
	case ws.OpText:
		packet, err = s.parseText(m.data)
	case ws.OpBinary:
		packet = s.parseBinary(m.data)
	case ws.OpPing:
		c.Send(controlFrame(ws.OpPong, m.data))
		return true
	case ws.OpClose:
		if !s.exists() { // the answer to our own
			c.Close(nil)
			return false
		}
		ce, err := parseClose(m.data)
		if err != nil {
			s.lose(TransportError, err)
		} else {
			s.lose(TransportClose, ce)
		}
		return false
	default: // a PONG nobody asked for, or a fragment
		return true
	}
	s.mu.Lock()
	if err == nil && s.m.passes(packet.Type) {
		s.mu.Unlock()
		s.srv.handler.Message(s, packet.Data, packet.Binary)
		return true // if that ended the session, the next packet finds out
	}
	var e effect
	if err != nil {
		e = s.m.invalid(mainLink, err)
	} else {
		e = s.m.packet(s.srv.now(), mainLink, packet.Type, packet.Data, s.timing())
	}
	alive := s.m.phase != phaseClosed
	s.finish(e)
	if e.do.has(doDeliver) {
		s.srv.handler.Message(s, packet.Data, packet.Binary)
	}
	return alive
}

// exists reports whether anything of the session is left.
func (s *Session) exists() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m.phase != phaseClosed
}

// lose ends the session because of its main transport.
func (s *Session) lose(r Reason, err error) {
	s.mu.Lock()
	s.finish(s.m.lost(mainLink, r, err))
}

// pauseConn stops reading if the session is paused still. It is called from
// inside Data.
func (s *Session) pauseConn(c *engine.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.m.held || s.m.phase == phaseClosed {
		return false
	}
	c.Pause()
	return true
}

// linger takes what a peer sends after our close frame: everything is thrown
// away, and its own close frame ends the wait.
func linger(c *engine.Conn, p []byte) (used int) {
	for used < len(p) {
		h, head, err := parseWSHead(p[used:])
		if err != nil {
			return len(p)
		}
		if head == 0 {
			return used // at most 13 bytes
		}
		rest := int64(len(p) - used - head)
		if h.OpCode == ws.OpClose && h.Length <= 125 {
			if rest < h.Length {
				return used
			}
			c.Close(nil)
			return len(p)
		}
		if rest < h.Length {
			// Not worth keeping. What follows may be misread as a header; the
			// worst that can come of it is an earlier end.
			return len(p)
		}
		used += head + int(h.Length)
	}
	return used
}

// lingerer is the handler of a connection that was refused after the 101.
type lingerer struct{}

func (lingerer) Data(c *engine.Conn, p []byte) int { return linger(c, p) }
func (lingerer) Closed(*engine.Conn, error)        {}

// closeReason tells a peer that went away from a failure on our side.
func closeReason(err error) Reason {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe) {
		return TransportClose
	}
	if errors.Is(err, net.ErrClosed) {
		return ForcedClose // the engine was closed under us
	}
	return TransportError
}

// CloseError is the cause of a session that the client ended with a WebSocket
// close frame.
type CloseError struct {
	Code uint16 // 1005 when the frame had none
	Text string // chosen by the client
}

func (e *CloseError) Error() string { return "eio: WebSocket closed by the client" }

var (
	closeNoStatus = pool.Static([]byte{0x88, 0})
	closeProtocol = pool.Static([]byte{0x88, 2, 1002 >> 8, 1002 & 0xff})
	closeUTF8     = pool.Static([]byte{0x88, 2, 1007 >> 8, 1007 & 0xff})
	closeTooBig   = pool.Static([]byte{0x88, 2, 1009 >> 8, 1009 & 0xff})
)

// closeFrame returns the close frame for a session that ended with err. Only
// violations of RFC 6455 have a status, as in the reference. The client's own close
// frame is sent back as it is.
func closeFrame(err error) *pool.Frame {
	if err == nil {
		return closeNoStatus
	}
	if ce, ok := errors.AsType[*CloseError](err); ok {
		if ce.Code == uint16(ws.StatusNoStatusRcvd) {
			return closeNoStatus
		}
		return controlFrame(ws.OpClose, append(binary.BigEndian.AppendUint16(nil, ce.Code), ce.Text...))
	}
	switch {
	case errors.Is(err, ErrWebSocketProtocol):
		return closeProtocol
	case errors.Is(err, ErrWebSocketUTF8):
		return closeUTF8
	case errors.Is(err, ErrMessageTooBig), errors.Is(err, engine.ErrInboundLimit):
		return closeTooBig
	}
	return closeNoStatus
}

// controlFrame returns a control frame with a copy of data, at most 125 bytes.
func controlFrame(op ws.OpCode, data []byte) *pool.Frame {
	b := pool.Get(2 + len(data))
	b.B = append(codec.AppendWSHeader(b.B, op, len(data)), data...)
	return b.Seal(0)
}
