package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/epio-go/epio/bench/internal/ws"
)

// fault is what a server does wrong, once.
type fault int

const (
	healthy fault = iota
	lose          // a message does not arrive
	double        // it arrives twice
	swap          // it arrives after the next one of the same sender
	change        // its last byte is another one
	stray         // it arrives at another client too
	stuck         // leaving a room has no effect, from now on
	kick          // not wrong: the room "slow" is disconnected
)

var faultNames = map[fault]string{healthy: "healthy", lose: "lose", double: "double", swap: "swap", change: "change", stray: "stray", stuck: "stuck", kick: "kick"}

// packet is a message to a client, with its attachment.
type packet struct {
	m, attachment []byte
	op            byte
	from          int // number of the sender
}

// faultyServer speaks all protocols of the load. It does right what no fault is asked of.
type faultyServer struct {
	t    *testing.T
	wire protocol
	ln   net.Listener
	done sync.WaitGroup

	mu       sync.Mutex
	wake     *sync.Cond // any queue, or closed
	closed   bool
	conns    []net.Conn
	peers    []*peer
	sessions map[string]*peer
	rooms    map[string][]*peer
	// the fault happens to the next message of a kind to a peer that match accepts, or never
	fault  fault
	kind   kind
	match  func(p *peer) bool
	kicked int
}

// peer is one client of the server.
type peer struct {
	s       *faultyServer
	number  int // of its first connection, in order of arrival
	sid     string
	conn    net.Conn // its WebSocket; nil while it polls
	probed  bool     // polling ends
	queue   []packet
	held    *packet
	got     int // messages of the fault's kind
	pending string
}

func startFaulty(t *testing.T, wire protocol) *faultyServer {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &faultyServer{t: t, wire: wire, ln: ln, sessions: make(map[string]*peer), rooms: make(map[string][]*peer)}
	s.wake = sync.NewCond(&s.mu)
	s.done.Go(s.accept)
	t.Cleanup(s.close)
	return s
}

func (s *faultyServer) close() {
	s.ln.Close()
	s.mu.Lock()
	s.closed = true
	for _, c := range s.conns {
		c.Close()
	}
	s.wake.Broadcast()
	s.mu.Unlock()
	s.done.Wait()
}

// arm has a fault happen.
func (s *faultyServer) arm(f fault, k kind, match func(p *peer) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault, s.kind, s.match = f, k, match
	for _, p := range s.peers {
		p.got = 0
	}
}

func (s *faultyServer) accept() {
	for {
		conn, err := s.ln.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		number := len(s.conns)
		s.conns = append(s.conns, conn)
		if s.closed {
			conn.Close()
		}
		s.mu.Unlock()
		s.done.Go(func() {
			defer conn.Close()
			s.serve(conn, number)
		})
	}
}

// serve answers requests until one opens a WebSocket.
func (s *faultyServer) serve(conn net.Conn, number int) {
	r := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		q := req.URL.Query()
		s.mu.Lock()
		p := s.sessions[q.Get("sid")]
		s.mu.Unlock()
		switch {
		case req.Header.Get("Upgrade") != "":
			s.websocket(conn, number, r, p)
			return
		case req.Method == http.MethodPost:
			body, err := io.ReadAll(req.Body)
			if err != nil {
				return
			}
			for m := range bytes.SplitSeq(body, []byte{0x1e}) {
				s.posted(p, m)
			}
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		default:
			if p == nil {
				p = s.newPeer(nil, number)
				p.send(packet{m: []byte(`0{"sid":"` + p.sid + `","upgrades":["websocket"]}`), op: ws.Text}, unknown)
			}
			io.WriteString(conn, p.payload())
		}
	}
}

func (s *faultyServer) newPeer(conn net.Conn, number int) *peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &peer{s: s, conn: conn, number: number, sid: "sid" + strconv.Itoa(len(s.peers))}
	s.peers = append(s.peers, p)
	s.sessions[p.sid] = p
	return p
}

// payload waits for packets and returns the answer to a GET, in chunks when it is an even one.
func (p *peer) payload() string {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	for len(p.queue) == 0 && !p.probed && !p.s.closed {
		p.s.wake.Wait()
	}
	var body []string
	for _, k := range p.queue {
		if k.op == ws.Binary {
			body = append(body, "b"+base64.StdEncoding.EncodeToString(k.m))
		} else {
			body = append(body, string(k.m))
		}
	}
	if p.queue = nil; body == nil {
		body = []string{"6"}
	}
	text := strings.Join(body, "\x1e")
	if len(text)%2 == 0 {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(text), text)
	}
	return fmt.Sprintf("HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s", len(text), text)
}

func (s *faultyServer) posted(p *peer, m []byte) {
	op := byte(ws.Text)
	if m[0] == 'b' {
		raw, err := base64.StdEncoding.DecodeString(string(m[1:]))
		if err != nil {
			s.t.Errorf("bad base64: %v", err)
			return
		}
		m, op = raw, ws.Binary
	}
	s.message(p, m, op)
}

// websocket serves a WebSocket: of a new client, or that of one which polls so far.
func (s *faultyServer) websocket(conn net.Conn, number int, r *bufio.Reader, p *peer) {
	upgrade := p != nil
	io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+ws.Accept+"\r\n\r\n")
	if !upgrade {
		p = s.newPeer(conn, number)
		if s.wire != plain {
			p.send(packet{m: []byte(`0{"sid":"x","upgrades":[]}`), op: ws.Text}, unknown)
		}
		s.done.Go(func() { p.write(conn) })
	}
	var in []byte
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		if err != nil {
			return
		}
		in = append(in, buf[:n]...)
		for {
			m, op, n, err := ws.Next(in)
			if err != nil {
				p.end(conn)
				return
			}
			if n == 0 {
				break
			}
			switch {
			case upgrade && string(m) == "2probe":
				conn.Write(ws.Append(nil, ws.Text, false, []byte("3probe")))
				s.mu.Lock()
				p.probed = true
				s.wake.Broadcast()
				s.mu.Unlock()
			case upgrade && string(m) == "5":
				s.mu.Lock()
				p.conn = conn
				s.mu.Unlock()
				s.done.Go(func() { p.write(conn) })
			default:
				s.message(p, m, op)
			}
			in = in[n:]
		}
	}
}

// write writes what is queued for a WebSocket.
func (p *peer) write(conn net.Conn) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	for {
		for len(p.queue) == 0 && !p.s.closed && p.conn != nil {
			p.s.wake.Wait()
		}
		if p.s.closed || p.conn == nil {
			return
		}
		var out []byte
		for _, k := range p.queue {
			out = ws.Append(out, k.op, false, k.m)
			if k.attachment != nil {
				out = ws.Append(out, ws.Binary, false, k.attachment)
			}
		}
		p.queue = nil
		p.s.mu.Unlock()
		_, err := conn.Write(out)
		p.s.mu.Lock()
		if err != nil {
			return
		}
	}
}

// end answers a close frame, after everything else.
func (p *peer) end(conn net.Conn) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	for _, k := range p.queue {
		conn.Write(ws.Append(nil, k.op, false, k.m))
	}
	p.queue, p.conn = nil, nil
	conn.Write(ws.Append(nil, ws.Close, false, nil))
	p.s.wake.Broadcast()
}

// send queues a packet, with the fault if it is due.
func (p *peer) send(k packet, is kind) {
	s := p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	p.sendLocked(k, is)
	s.wake.Broadcast()
}

func (p *peer) sendLocked(k packet, is kind) {
	s := p.s
	due := is == s.kind && s.match != nil && s.match(p)
	if is == s.kind {
		p.got++
	}
	if !due || s.fault == stuck {
		p.queue = append(p.queue, k)
		if p.held != nil && is == s.kind && k.from == p.held.from {
			p.queue = append(p.queue, *p.held)
			p.held = nil
		}
		return
	}
	s.match = nil
	switch s.fault {
	case double:
		p.queue = append(p.queue, k, k)
	case swap:
		p.held = &k
	case change:
		last := &k.m
		if k.attachment != nil {
			last = &k.attachment
		}
		*last = bytes.Clone(*last)
		// A letter of the filler: every protocol has some bytes behind it at most.
		i := len(*last) - 1
		for (*last)[i] != 'x' && (*last)[i] != 0xfe {
			i--
		}
		(*last)[i]--
		p.queue = append(p.queue, k)
	case stray:
		p.queue = append(p.queue, k)
		other := s.peers[(slices.Index(s.peers, p)+1)%len(s.peers)]
		other.queue = append(other.queue, k)
	}
}

// message does what a client asks for.
func (s *faultyServer) message(p *peer, m []byte, op byte) {
	event, args, id := s.read(p, m, op)
	switch event {
	case "connect":
		p.send(s.connected(), unknown)
	case "join", "leave":
		s.mu.Lock()
		if event == "join" {
			s.rooms[args[0]] = append(s.rooms[args[0]], p)
		} else if s.fault != stuck || s.match == nil {
			s.rooms[args[0]] = slices.DeleteFunc(s.rooms[args[0]], func(q *peer) bool { return p == q })
		}
		s.mu.Unlock()
		p.send(s.ack(event, id, nil, op), unknown)
	case "echo":
		p.send(s.ack(event, id, []byte(args[0]), op), answer)
	case "bcast":
		k := s.delivery([]byte(args[1]), len(args) > 2, op)
		k.from = p.number
		s.mu.Lock()
		if s.fault == kick && args[0] == "slow" {
			s.kickLocked(s.rooms[args[0]])
		}
		for _, q := range s.rooms[args[0]] {
			q.sendLocked(k, delivery)
		}
		s.wake.Broadcast()
		s.mu.Unlock()
	}
}

// kickLocked closes the connections of clients and takes them out of all rooms.
func (s *faultyServer) kickLocked(gone []*peer) {
	gone = slices.Clone(gone)
	for _, p := range gone {
		if p.conn != nil {
			p.conn.Close()
		}
	}
	for name := range s.rooms {
		s.rooms[name] = slices.DeleteFunc(s.rooms[name], func(p *peer) bool { return slices.Contains(gone, p) })
	}
	s.kicked += len(gone)
}
