//go:build unix

package eio

import (
	"net"
	"syscall"
)

// narrow opens a connection whose client takes little and in small segments. So the kernel's buffers, on
// both sides, hold some tens of KB instead of megabytes, and what does not fit is the server's to keep.
func (r *rig) narrow() net.Conn {
	r.t.Helper()
	d := net.Dialer{Control: func(_, _ string, rc syscall.RawConn) (err error) {
		rc.Control(func(fd uintptr) {
			if err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 536); err == nil {
				err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096)
			}
		})
		return err
	}}
	nc, err := d.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { nc.Close() })
	return nc
}
