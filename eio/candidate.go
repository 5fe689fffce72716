package eio

import (
	"github.com/gobwas/ws"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/pool"
)

// candidate is the handler of a WebSocket that asks to take over a session from
// polling, and, as wtCandidate, of a WebTransport that does. It lives until the client sends UPGRADE, breaks the rules, or runs out of
// time; see machine for the rules.
type candidate struct {
	// immutable
	s         *Session
	transport Transport
	base64    bool

	// guarded by s.mu
	conn     *engine.Conn // nil until Data or attach
	dropped  bool         // given up: close frame sent, waiting for the peer's
	switched bool         // taken over: everything goes to the session

	// owned by whoever runs Data
	rd wsReader
}

// Data implements engine.Handler.
func (k *candidate) Data(c *engine.Conn, p []byte) (used int) {
	k.attach(c)
	var pings pings
	defer pings.end(c)
	for used < len(p) {
		k.s.mu.Lock()
		dropped, switched, held := k.dropped, k.switched, k.s.m.candidate == stagePending
		k.s.mu.Unlock()
		switch {
		case switched:
			c.SetHandler((*wsConn)(k.s))
			return used
		case dropped:
			return used + goodbye(c, k, p[used:], false)
		case held:
			return used // paused already
		}
		m, n, err := k.rd.next(p[used:], k.s.srv.cfg.MaxPayload)
		if err != nil {
			k.invalid(err)
			return goodbye(c, k, p, true)
		}
		if n == 0 {
			return used
		}
		used += n
		if m.op == ws.OpPing {
			pings.answer(c, m.data)
			continue
		}
		k.message(c, &m)
		m.release()
	}
	return used
}

// Closed implements engine.Handler.
func (k *candidate) Closed(c *engine.Conn, err error) {
	k.rd.release()
	s := k.s
	s.mu.Lock()
	switch {
	case k.switched:
		s.mu.Unlock()
		(*wsConn)(s).Closed(c, err)
	case k.dropped:
		s.mu.Unlock()
	default:
		s.finish(s.m.lost(candidateLink, TransportClose, err))
	}
}

// attach makes the connection known. Both the first Data and the return of Adopt
// call it; either may be first.
func (k *candidate) attach(c *engine.Conn) {
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	if k.conn != nil {
		return
	}
	k.conn = c
	if k.dropped {
		k.hangUpLocked()
	}
}

// send queues f, one of the packets that never change. Called with s.mu held, from Data, so
// conn is known.
func (k *candidate) send(f *pool.Frame) {
	if k.transport == WebTransport {
		f = codec.NewFrameIn(codec.FormWebTransport, f.Bytes())
	}
	k.conn.Send(f)
}

// dropLocked closes the connection without a status. Called with s.mu held.
func (k *candidate) dropLocked() {
	k.dropped = true
	if k.conn != nil {
		k.hangUpLocked()
	}
}

// hangUpLocked closes the connection, which is known.
func (k *candidate) hangUpLocked() {
	if k.transport == WebTransport {
		k.conn.Close(nil)
		return
	}
	k.conn.Resume() // to hear the peer's close frame
	k.conn.CloseAfterFlush(closeNoStatus, wsLinger)
}

// invalid gives the candidate up because of something that is not WebSocket.
func (k *candidate) invalid(err error) {
	s := k.s
	s.mu.Lock()
	if !k.dropped && k.conn != nil {
		k.conn.CloseAfterFlush(closeFrame(err), wsLinger)
	}
	s.finish(s.m.invalid(candidateLink, err))
}

func (k *candidate) message(c *engine.Conn, m *wsMessage) {
	var packet codec.Packet
	var err error
	switch m.op {
	case ws.OpText:
		packet, err = k.s.parseText(m.data)
	case ws.OpBinary:
		packet = k.s.parseBinary(m.data)
	case ws.OpClose:
		ce, err := parseClose(m.data)
		if err == nil {
			err = ce
		}
		k.invalid(err)
		return
	default:
		return
	}
	k.packet(c, packet, err)
}

// packet handles what the candidate has sent, or that it is no packet.
func (k *candidate) packet(c *engine.Conn, packet codec.Packet, err error) {
	s := k.s
	s.mu.Lock()
	if k.dropped {
		s.mu.Unlock()
		return
	}
	var e effect
	if packet.Binary {
		packet.Data = nil // the probe is text, also where v3 has binary packets of every type
	}
	if err != nil {
		e = s.m.invalid(candidateLink, err)
	} else {
		e = s.m.packet(s.srv.now(), candidateLink, packet.Type, packet.Data, s.timing())
	}
	if e.do.has(doHold) {
		c.Pause()
	}
	s.finish(e)
}
