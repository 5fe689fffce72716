package engine

import (
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// reactor turns sockets into descriptors that a poller watches.
type reactor struct {
	e    *Engine
	poll poller
}

// poller runs connections by readiness instead of goroutines.
type poller interface {
	// start takes fd, a non-blocking stream socket. Its errors are final.
	start(fd int, remote netip.AddrPort, carry []byte, accept func(*Conn) Handler) (*Conn, error)
	close()
}

// newReactor returns nil when there is none.
func newReactor(e *Engine) *reactor {
	if e.opts.Reactor != Netpoll {
		return &reactor{e: e, poll: newEpoller(e)}
	}
	np, err := newNetpoller(e)
	if err != nil {
		e.log.Warn("engine: netpoll unavailable, using epoll", "err", err)
		return &reactor{e: e, poll: newEpoller(e)}
	}
	return &reactor{e: e, poll: np}
}

func (r *reactor) close() { r.poll.close() }

// adopt takes over the descriptor behind nc.
func (r *reactor) adopt(nc net.Conn, carry []byte, h Handler) (*Conn, error) {
	fd, err := dupFD(nc)
	if err != nil {
		return nil, err
	}
	remote := remoteAddrPort(nc)
	nc.Close()
	return r.poll.start(fd, remote, carry, func(*Conn) Handler { return h })
}

// dupFD duplicates the descriptor of a TCP or Unix connection. With no descriptor
// left for that, the connection is better served on the portable engine than not
// at all, hence errUnsupported.
func dupFD(nc net.Conn) (int, error) {
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn:
	default:
		return -1, errUnsupported
	}
	raw, err := nc.(syscall.Conn).SyscallConn()
	if err != nil {
		return -1, errUnsupported
	}
	fd := -1
	var dupErr error
	err = raw.Control(func(p uintptr) {
		fd, dupErr = unix.FcntlInt(p, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err != nil {
		nc.Close()
		return -1, fmt.Errorf("engine: duplicate descriptor: %w", err)
	}
	if dupErr != nil {
		return -1, errUnsupported
	}
	return fd, nil
}

// acceptBurst bounds how many connections are taken before the listener's own
// Accept is asked again, which is what notices a closed listener.
const acceptBurst = 256

// accept starts nc and then takes what else waits in the backlog of ln directly:
// the accepted descriptors do not pass through the runtime's poller first.
func (r *reactor) accept(ln net.Listener, nc net.Conn, accept func(*Conn) Handler) error {
	fd, err := dupFD(nc)
	if err != nil {
		return err
	}
	remote := remoteAddrPort(nc)
	nc.Close()
	if _, err := r.poll.start(fd, remote, nil, accept); err != nil {
		return err
	}
	// Only the plain listeners: one that embeds them has an Accept of its own,
	// with its own ideas about who comes in.
	_, tcp := ln.(*net.TCPListener)
	_, unixSocket := ln.(*net.UnixListener)
	if !tcp && !unixSocket {
		return nil
	}
	raw, err := ln.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil // closed; Accept will tell
	}
	for range acceptBurst {
		var sa unix.Sockaddr
		if raw.Control(func(p uintptr) {
			fd, sa, err = unix.Accept4(int(p), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		}) != nil || err != nil {
			return nil // Accept meets the same error and deals with it
		}
		if tcp {
			// The descriptor is fresh, so this fails only for a peer that is gone.
			_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		}
		if _, err := r.poll.start(fd, sockaddrPort(sa), nil, accept); err != nil {
			return err
		}
	}
	return nil
}

func sockaddrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
	}
	return netip.AddrPort{}
}
