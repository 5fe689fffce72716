// Command bench-floor does the least work a server can do for the benchmarks' load:
// one thread, a bare epoll loop, canned answers, no protocol logic, no limits, no
// heartbeat. What it costs is what the kernel costs; other servers are quoted as
// multiples of it. It understands exactly what bench/load sends and is no use for
// anything else.
package main

import (
	"bytes"
	"flag"
	"log"
	"net"
	"runtime"
	"strconv"

	"github.com/epio-go/epio/bench/internal/ws"
	"golang.org/x/sys/unix"
)

// client is one connection.
type client struct {
	fd   int
	open bool
	in   []byte // incomplete input; nil most of the time
}

type server struct {
	epfd    int
	ln      int
	clients map[int32]*client
	rooms   map[string][]*client
	buf     [64 << 10]byte
	out     []byte
}

var (
	upgraded = []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + ws.Accept + "\r\n\r\n")
	opened   = ws.AppendText(nil, false, []byte(`0{"sid":"aaaaaaaaaaaaaaaaaaaa","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`))
	joined   = ws.AppendText(nil, false, []byte(`40{"sid":"bbbbbbbbbbbbbbbbbbbb"}`))
	hello    = append(append([]byte(nil), upgraded...), opened...)
)

func main() {
	addr := flag.String("addr", "127.0.0.1:3000", "address to listen on")
	flag.Parse()
	runtime.GOMAXPROCS(1)
	runtime.LockOSThread()
	log.Fatal("bench-floor: ", run(*addr))
}

// run serves until something fails.
func run(addr string) error {
	tcp, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return err
	}
	s := &server{clients: make(map[int32]*client), rooms: make(map[string][]*client)}
	if s.ln, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		return err
	}
	unix.SetsockoptInt(s.ln, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	sa := &unix.SockaddrInet4{Port: tcp.Port}
	copy(sa.Addr[:], tcp.IP.To4())
	if err := unix.Bind(s.ln, sa); err != nil {
		return err
	}
	if err := unix.Listen(s.ln, 4096); err != nil {
		return err
	}
	if s.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if err := s.watch(s.ln); err != nil {
		return err
	}
	log.Printf("listening on %s", addr)
	events := make([]unix.EpollEvent, 512)
	for {
		n, err := unix.EpollWait(s.epfd, events, -1)
		if err != nil && err != unix.EINTR {
			return err
		}
		for i := range max(n, 0) {
			if fd := events[i].Fd; fd == int32(s.ln) {
				s.accept()
			} else if c := s.clients[fd]; c != nil {
				s.read(c)
			}
		}
	}
}

func (s *server) watch(fd int) error {
	return unix.EpollCtl(s.epfd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

func (s *server) accept() {
	for {
		fd, _, err := unix.Accept4(s.ln, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		s.clients[int32(fd)] = &client{fd: fd}
		if s.watch(fd) != nil {
			s.drop(s.clients[int32(fd)])
		}
	}
}

func (s *server) drop(c *client) {
	delete(s.clients, int32(c.fd))
	for name, members := range s.rooms {
		for i, m := range members {
			if m == c {
				s.rooms[name] = append(members[:i], members[i+1:]...)
				break
			}
		}
	}
	unix.Close(c.fd)
}

func (s *server) read(c *client) {
	n, err := unix.Read(c.fd, s.buf[:])
	if err == unix.EAGAIN || err == unix.EINTR {
		return
	}
	if n <= 0 {
		s.drop(c)
		return
	}
	p := s.buf[:n]
	if c.in != nil {
		p = append(c.in, p...)
		c.in = nil
	}
	for len(p) > 0 {
		used := s.handle(c, p)
		if used < 0 {
			s.drop(c)
			return
		}
		if used == 0 {
			c.in = append([]byte(nil), p...)
			return
		}
		p = p[used:]
	}
}

// handle answers the first message of p and returns its size: 0 when it is
// incomplete, negative when the client is done for.
func (s *server) handle(c *client, p []byte) int {
	if !c.open {
		i := bytes.Index(p, []byte("\r\n\r\n"))
		if i < 0 {
			return 0
		}
		c.open = true
		unix.Write(c.fd, hello)
		return i + 4
	}
	m, _, n, err := ws.Next(p)
	if err != nil {
		return -1
	}
	if n == 0 {
		return 0
	}
	switch {
	case string(m) == "40":
		unix.Write(c.fd, joined)
	case bytes.HasPrefix(m, []byte("42[\"bcast\",\"")):
		s.bcast(m[len("42[\"bcast\",\""):])
	case len(m) > 2 && m[0] == '4' && m[1] == '2':
		s.ack(c, m[2:])
	}
	return n
}

// bcast sends room","payload"] to the room.
func (s *server) bcast(m []byte) {
	room, rest, _ := bytes.Cut(m, []byte("\","))
	s.out = append(s.out[:0], `42["msg",`...)
	s.out = append(s.out, rest...)
	f := ws.AppendText(nil, false, s.out)
	for _, c := range s.rooms[string(room)] {
		unix.Write(c.fd, f)
	}
}

// ack answers 7["echo",x] and 7["join","room"].
func (s *server) ack(c *client, m []byte) {
	i := bytes.IndexByte(m, '[')
	if i < 0 {
		return
	}
	s.out = append(append(s.out[:0], "43"...), m[:i]...)
	if arg, ok := bytes.CutPrefix(m[i:], []byte(`["echo",`)); ok {
		s.out = append(append(s.out, '['), arg...)
	} else if arg, ok := bytes.CutPrefix(m[i:], []byte(`["join",`)); ok {
		room, err := strconv.Unquote(string(bytes.TrimSuffix(arg, []byte("]"))))
		if err != nil {
			return
		}
		s.rooms[room] = append(s.rooms[room], c)
		s.out = append(s.out, "[]"...)
	}
	unix.Write(c.fd, ws.AppendText(nil, false, s.out))
}
