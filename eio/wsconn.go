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
		return goodbye(c, h, p, false)
	}
	s.occupyLocked()
	s.mu.Unlock()
	var held *pool.Buf // of the message that is being handled
	defer func() {
		if held != nil { // the application has panicked
			held.Release()
		}
		s.vacate()
	}()

	var pings pings
	for used < len(p) {
		if s.paused.Load() && s.pauseConn(c) {
			pings.end(c)
			return used
		}
		m, n, err := s.rd.next(p[used:], s.srv.cfg.MaxPayload)
		if err != nil {
			s.lose(TransportError, err)
			return goodbye(c, h, p, true)
		}
		if n == 0 {
			pings.end(c)
			return used
		}
		used += n
		if m.op == ws.OpPing {
			pings.answer(c, m.data)
			continue
		}
		held = m.buf
		alive := s.message(c, &m)
		held = nil
		m.release()
		if !alive {
			return used + goodbye(c, h, p[used:], false)
		}
	}
	pings.end(c)
	if s.paused.Load() {
		s.pauseConn(c)
	}
	return used
}

// pings answers the PINGs that one Data finds. Each has its PONG, as in the reference, unless there are many:
// then of the rest only the last has, which is all that RFC 6455 section 5.5.3 asks for. Otherwise a full
// buffer of them would be thousands of system calls, and on the reactor others wait meanwhile.
type pings struct {
	n    int
	last []byte // not answered; part of what Data was given
	late bool
}

const manyPings = 16

func (g *pings) answer(c *engine.Conn, data []byte) {
	if g.n++; g.n <= manyPings {
		c.Send(controlFrame(ws.OpPong, data))
		return
	}
	g.last, g.late = data, true
}

// end answers what is left.
func (g *pings) end(c *engine.Conn) {
	if g.late {
		c.Send(controlFrame(ws.OpPong, g.last))
	}
}

// Closed implements engine.Handler.
func (h *wsConn) Closed(c *engine.Conn, err error) {
	s := (*Session)(h)
	s.rd.release()
	s.strand(closeReason(err), err)
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
	case ws.OpClose:
		if !s.exists() { // the answer to our own
			hangUp(c)
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
	return s.received(packet, err)
}

// received handles a packet of the main transport, or that it is none. It reports whether the
// session goes on.
func (s *Session) received(packet codec.Packet, err error) bool {
	if s.srv.cfg.Hooks != nil && err == nil {
		s.observe(packet)
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

// strand is lose where there is no connection any more; what waits for one is dropped.
func (s *Session) strand(r Reason, err error) {
	s.mu.Lock()
	if s.out != nil { // nothing was attached
		s.out.drop()
	}
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

// farewell is the handler of a WebSocket whose last frame, our close frame, has been
// queued. It throws away what the peer still sends and ends the connection when
// that is the peer's close frame.
//
// Owned by whoever runs Data.
type farewell struct {
	main engine.Handler // the former handler, told of the end; may be nil
	skip int64          // bytes of the current frame that have not come yet
	deaf bool           // nothing that comes is worth parsing
}

// goodbye makes a farewell the handler of c, from inside main.Data, whose rest is p. deaf says
// that the peer broke the framing: then nothing it sends is processed any
// more, not even a close frame (RFC 6455 section 7.1.7).
func goodbye(c *engine.Conn, main engine.Handler, p []byte, deaf bool) (used int) {
	f := &farewell{main: main, deaf: deaf}
	c.SetHandler(f)
	return f.Data(c, p)
}

// Data implements engine.Handler.
func (f *farewell) Data(c *engine.Conn, p []byte) (used int) {
	for !f.deaf {
		n := int(min(f.skip, int64(len(p)-used)))
		f.skip -= int64(n)
		used += n
		h, head, err := parseWSHead(p[used:])
		switch {
		case err != nil:
			f.deaf = true
		case head == 0:
			return used // at most 13 bytes
		case h.OpCode == ws.OpClose:
			if int64(len(p)-used-head) < h.Length {
				return used
			}
			f.deaf = true
			hangUp(c)
		default:
			used += head
			f.skip = h.Length
		}
	}
	return len(p)
}

// Closed implements engine.Handler.
func (f *farewell) Closed(c *engine.Conn, err error) {
	if f.main != nil {
		f.main.Closed(c, err)
	}
}

// hangUp ends a connection on which both sides have said goodbye, unless ours is still
// on its way; then the peer closes when it has it, or wsLinger ends the wait.
func hangUp(c *engine.Conn) {
	if c.Buffered() == 0 {
		c.Close(nil)
	}
}

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
	closeInvalid  = pool.Static([]byte{0x88, 2, 1007 >> 8, 1007 & 0xff})
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
	case errors.Is(err, ErrWebSocketUTF8), errors.Is(err, ErrWebSocketDeflate):
		return closeInvalid
	case errors.Is(err, ErrMessageTooBig), errors.Is(err, engine.ErrInboundLimit):
		return closeTooBig
	}
	return closeNoStatus
}

// lastFrame is closeFrame for whatever transport the session is on: WebTransport has no such
// frame.
func (s *Session) lastFrame(err error) *pool.Frame {
	if s.m.transport == WebTransport {
		return nil
	}
	return closeFrame(err)
}

// controlFrame returns a control frame with a copy of data, at most 125 bytes.
func controlFrame(op ws.OpCode, data []byte) *pool.Frame {
	b := pool.Get(2 + len(data))
	b.B = append(codec.AppendWSHeader(b.B, op, len(data)), data...)
	return b.Seal(0)
}
