//go:build !linux

package engine

import "net"

// reactor exists on Linux only; everything runs on the portable engine here.
type reactor struct{}

func newReactor(*Engine) *reactor { return nil }

func (*reactor) adopt(net.Conn, []byte, Handler) (*Conn, error) { return nil, errUnsupported }

func (*reactor) accept(net.Listener, net.Conn, func(*Conn) Handler) error { return errUnsupported }

func (*reactor) close() {}
