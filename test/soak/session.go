package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// How a session comes about.
const (
	viaWebSocket = iota
	viaPolling
	viaUpgrade
	viaBrokenUpgrade // stays on polling
	vias
)

// how says how to open a session.
type how struct {
	node    address
	direct  bool // the door
	via     int
	deflate bool
	v3      bool // Engine.IO v3, on WebSocket
}

func (h how) String() string {
	door, via := "handler", [vias]string{"websocket", "polling", "upgrade", "broken upgrade"}[h.via]
	if h.direct {
		door = "direct"
	}
	return fmt.Sprintf("node %d %s %s %s %s deflate=%t v3=%t", h.node.ID, h.node.Engine, h.node.Parser, door, via, h.deflate, h.v3)
}

func (h how) addr() string {
	if h.direct {
		return h.node.Direct
	}
	return h.node.Handler
}

func (h how) query() string {
	if h.v3 {
		return "EIO=3"
	}
	return "EIO=4"
}

// session is the client's end of an Engine.IO session. Its reader calls receive for each message, and ended once when no more
// will come.
type session struct {
	how
	sid     string
	began   time.Time // before it connected
	receive func(message)
	ended   chan struct{} // closed by the reader
	err     error         // why; valid after ended

	pong atomic.Bool // pings are answered
	gate sync.Mutex  // the reader passes between messages: who holds it stops reading
	left atomic.Bool // the client wants no more of the session

	p         *poller       // nil on a session that began as WebSocket
	upgrading atomic.Bool   // the reader is to stop polling
	paused    chan struct{} // the reader: has done so
	up        chan *wsConn  // to the reader: go on with this

	mu sync.Mutex // guards ws, and sending
	ws *wsConn    // nil on polling
}

var errEIOClosed = errors.New("the server sent CLOSE")

type handshake struct {
	SID                       string
	Upgrades                  []string
	PingInterval, PingTimeout int
}

// open opens a session. receive is called on the reader's goroutine.
func open(h how, receive func(message)) (*session, error) {
	s := &session{how: h, began: time.Now(), receive: receive, ended: make(chan struct{}), paused: make(chan struct{}, 1), up: make(chan *wsConn, 1)}
	s.pong.Store(true)
	var hello message
	if h.via == viaWebSocket {
		ws, err := dialWS(h.addr(), "/socket.io/?"+h.query()+"&transport=websocket", h.deflate)
		if err != nil {
			return nil, err
		}
		ws.v3 = h.v3
		s.ws = ws
		ws.nc.SetReadDeadline(time.Now().Add(dialTime))
		if hello, err = ws.read(); err != nil {
			ws.nc.Close()
			return nil, err
		}
		ws.nc.SetReadDeadline(time.Time{})
	} else {
		s.p = newPoller(h.addr(), h.query())
		all, err := s.p.get()
		if err != nil {
			s.p.close()
			return nil, err
		}
		hello = all[0]
		if len(all) > 1 {
			s.p.close()
			return nil, fmt.Errorf("%w: %d packets in a handshake", errPacket, len(all))
		}
	}
	var o handshake
	text, ok := strings.CutPrefix(string(hello.data), "0")
	if err := json.Unmarshal([]byte(text), &o); !ok || err != nil || o.SID == "" {
		return nil, fmt.Errorf("%w: handshake %.100q", errPacket, hello.data)
	}
	s.sid = o.SID
	if s.p != nil {
		s.p.url += "&sid=" + o.SID
	}
	go s.read()
	if h.v3 {
		go s.pinging(time.Duration(o.PingInterval) * time.Millisecond)
	}
	return s, nil
}

// pinging is for Engine.IO v3, where the client pings.
func (s *session) pinging(every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-s.ended:
			return
		case <-t.C:
			if s.pong.Load() {
				s.raw(message{false, []byte("2")})
			}
		}
	}
}

// read runs until the session has ended.
func (s *session) read() {
	defer close(s.ended)
	ws := s.ws // not guarded yet: nobody else knows the session
	if s.p != nil {
		if ws = s.poll(); ws == nil {
			return
		}
	}
	for {
		m, err := ws.read()
		if err == nil {
			s.wait()
			if m.binary && s.v3 {
				if len(m.data) == 0 || m.data[0] != 4 {
					s.err = fmt.Errorf("%w: %.20q", errPacket, m.data)
					return
				}
				m.data = m.data[1:]
			}
			err = s.packet(m)
		}
		if err != nil {
			s.err = err
			return
		}
	}
}

// poll polls until the session has ended, or has moved to the WebSocket it returns.
func (s *session) poll() *wsConn {
	for {
		all, err := s.p.get()
		if err != nil {
			s.err = err
			return nil
		}
		s.wait()
		for _, m := range all {
			if err := s.packet(m); err != nil {
				s.err = err
				return nil
			}
		}
		if s.upgrading.CompareAndSwap(true, false) {
			s.paused <- struct{}{}
			if ws := <-s.up; ws != nil {
				return ws
			}
		}
	}
}

func (s *session) wait() {
	s.gate.Lock()
	defer s.gate.Unlock()
}

// packet handles a packet of Engine.IO.
func (s *session) packet(m message) error {
	if m.binary {
		s.receive(m)
		return nil
	}
	if len(m.data) == 0 {
		return errPacket
	}
	switch m.data[0] {
	case '1':
		return errEIOClosed
	case '2':
		if s.v3 {
			return errPacket
		}
		if s.pong.Load() {
			go s.raw(message{false, append([]byte("3"), m.data[1:]...)}) // the reader must not wait for a POST
		}
	case '3':
		if !s.v3 {
			return errPacket
		}
	case '4':
		s.receive(message{false, m.data[1:]})
	case '6':
	default:
		return fmt.Errorf("%w: %.100q", errPacket, m.data)
	}
	return nil
}

// send sends messages, together and in order.
func (s *session) send(all ...message) error {
	for i, m := range all {
		switch {
		case !m.binary:
			all[i].data = append([]byte("4"), m.data...)
		case s.v3:
			all[i].data = append([]byte{4}, m.data...)
		}
	}
	return s.raw(all...)
}

// raw sends packets.
func (s *session) raw(all ...message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ws == nil {
		return s.p.post(all)
	}
	var b []byte
	for _, m := range all {
		b = s.ws.frame(b, m.binary, m.data)
	}
	return s.ws.write(b)
}

// upgrade moves a session from polling to WebSocket. It returns when the reader knows.
func (s *session) upgrade() error {
	ws, err := dialWS(s.addr(), "/socket.io/?"+s.query()+"&transport=websocket&sid="+s.sid, s.deflate)
	if err != nil {
		return err
	}
	ws.nc.SetReadDeadline(time.Now().Add(dialTime))
	err = ws.write(appendFrame(nil, 0x81, []byte("2probe")))
	var m message
	if err == nil {
		m, err = ws.read()
	}
	if err == nil && string(m.data) != "3probe" {
		err = fmt.Errorf("%w: answer to a probe: %q", errPacket, m.data)
	}
	if err != nil {
		ws.nc.Close()
		return err
	}
	ws.nc.SetReadDeadline(time.Time{})
	// From here nothing more goes by POST. The server answers parked polls with NOOP.
	s.mu.Lock()
	defer s.mu.Unlock()
	s.upgrading.Store(true)
	select {
	case <-s.paused:
	case <-s.ended:
		ws.nc.Close()
		return s.err
	}
	if err := ws.write(appendFrame(nil, 0x81, []byte("5"))); err != nil {
		ws.nc.Close()
		s.up <- nil
		return err
	}
	s.ws = ws
	s.up <- ws
	return nil
}

// breakUpgrade begins an upgrade and breaks off somewhere.
func (s *session) breakUpgrade(rnd *rand.Rand) error {
	ws, err := dialWS(s.addr(), "/socket.io/?"+s.query()+"&transport=websocket&sid="+s.sid, s.deflate)
	if err != nil {
		return err
	}
	defer ws.nc.Close()
	ws.nc.SetReadDeadline(time.Now().Add(dialTime))
	switch rnd.IntN(4) {
	case 0: // says nothing
	case 1:
		ws.write(appendFrame(nil, 0x81, []byte("2probe")))
	case 2:
		ws.write(appendFrame(nil, 0x81, []byte("2probe")))
		if m, err := ws.read(); err == nil && string(m.data) != "3probe" {
			return fmt.Errorf("%w: answer to a probe: %q", errPacket, m.data)
		}
		if rnd.IntN(2) == 0 {
			ws.abort()
		}
	case 3: // not a probe
		ws.write(appendFrame(nil, 0x81, []byte("4hello")))
	}
	return nil
}

// leave ends the session as a client does.
func (s *session) leave() {
	s.left.Store(true)
	s.mu.Lock()
	ws := s.ws
	s.mu.Unlock()
	if ws != nil {
		ws.write(appendFrame(nil, 0x88, []byte{3, 232}))
		select {
		case <-s.ended:
		case <-time.After(dialTime):
		}
	} else {
		s.raw(message{false, []byte("1")})
	}
	s.shut(false)
}

// shut closes the connections without a word, or with a reset.
func (s *session) shut(reset bool) {
	s.left.Store(true)
	s.mu.Lock()
	ws := s.ws
	s.mu.Unlock()
	if ws != nil {
		if reset {
			ws.abort()
		} else {
			ws.nc.Close()
		}
	}
	if s.p != nil {
		s.p.close()
	}
}

// half closes the client's direction only, where there is one connection; else everything.
func (s *session) half() {
	s.left.Store(true)
	s.mu.Lock()
	ws := s.ws
	s.mu.Unlock()
	if ws != nil {
		if tc, ok := ws.nc.(*net.TCPConn); ok {
			tc.CloseWrite()
			return
		}
	}
	s.shut(false)
}
