//go:build !unix

package eio

import "net"

// narrow opens a connection whose client takes little.
func (r *rig) narrow() net.Conn {
	r.t.Helper()
	nc := r.tcp()
	nc.(*net.TCPConn).SetReadBuffer(4096)
	return nc
}
