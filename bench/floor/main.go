// Command bench-floor does the least work a server can do for the benchmarks' load:
// one thread, a bare epoll loop, canned answers, no protocol logic, no heartbeat. What it
// costs is what the kernel costs; other servers are quoted as multiples of it. It
// understands exactly what bench/load sends, in all its protocols, and is no use for
// anything else, least of all for clients that are not trusted.
//
// Every message is one write(2), also when several for the same client are at hand: a
// server that puts them together can cost less. What a socket does not take waits, up to
// 16 MiB; a client with more is dropped.
package main

import (
	"flag"
	"log"
	"net"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// server owns everything, on one thread.
type server struct {
	epfd     int
	ln       int
	clients  []*client // by descriptor
	rooms    map[string]*room
	sessions map[string]*session
	doomed   []*client // to be dropped when nobody walks the rooms
	buf      [256 << 10]byte
	out      []byte // message being built
	frame    []byte // frame being built
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench-floor: ")
	addr := flag.String("addr", "127.0.0.1:3000", "address to listen on")
	flag.Parse()
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ended
		os.Exit(0)
	}()
	runtime.GOMAXPROCS(1)
	runtime.LockOSThread()
	log.Fatal(run(*addr))
}

// run serves until something fails.
func run(addr string) error {
	tcp, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return err
	}
	s := &server{rooms: make(map[string]*room), sessions: make(map[string]*session)}
	if s.ln, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(s.ln, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
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
	if err := s.control(unix.EPOLL_CTL_ADD, s.ln, unix.EPOLLIN); err != nil {
		return err
	}
	bound, err := unix.Getsockname(s.ln)
	if err != nil {
		return err
	}
	log.Printf("listening on %s:%d", tcp.IP, bound.(*unix.SockaddrInet4).Port)
	return s.serve()
}

func (s *server) serve() error {
	events := make([]unix.EpollEvent, 512)
	for {
		n, err := unix.EpollWait(s.epfd, events, -1)
		if err != nil && err != unix.EINTR {
			return err
		}
		for i := range max(n, 0) {
			fd := int(events[i].Fd)
			if fd == s.ln {
				s.accept()
				continue
			}
			c := s.clients[fd]
			if c == nil {
				continue // dropped since
			}
			if events[i].Events&unix.EPOLLOUT != 0 {
				s.flush(c)
			}
			if events[i].Events&^unix.EPOLLOUT != 0 {
				s.read(c)
			}
			for _, c := range s.doomed {
				s.drop(c)
			}
			s.doomed = s.doomed[:0]
		}
	}
}

func (s *server) control(op, fd int, events uint32) error {
	return unix.EpollCtl(s.epfd, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

func (s *server) accept() {
	for {
		fd, _, err := unix.Accept4(s.ln, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		if unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) != nil || s.control(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN) != nil {
			unix.Close(fd)
			continue
		}
		for len(s.clients) <= fd {
			s.clients = append(s.clients, nil)
		}
		s.clients[fd] = &client{fd: fd}
	}
}
