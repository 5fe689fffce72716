package engine

import (
	"net"
	"sync"
	"time"
)

// detached is a connection that has left the engine. Its reads begin with the
// bytes the engine had received already. The engine finishes handing it over
// after the Data call in which it was detached; until then every method waits.
type detached struct {
	local, remote net.Addr
	done          chan struct{}

	// set before done is closed
	nc  net.Conn
	err error

	mu   sync.Mutex
	rest []byte // received before, not read yet; nil when taken by unwrap
}

func newDetached(local, remote net.Addr) *detached {
	return &detached{local: local, remote: remote, done: make(chan struct{})}
}

// ready completes the hand-over. It takes rest.
func (d *detached) ready(nc net.Conn, rest []byte, err error) {
	d.nc, d.rest, d.err = nc, rest, err
	close(d.done)
}

// unwrap returns the connection behind d and the bytes not read yet; d is
// useless afterwards.
func (d *detached) unwrap() (net.Conn, []byte, error) {
	<-d.done
	if d.err != nil {
		return nil, nil, d.err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	rest := d.rest
	d.rest = nil
	return d.nc, rest, nil
}

func (d *detached) Read(p []byte) (int, error) {
	<-d.done
	if d.err != nil {
		return 0, d.err
	}
	d.mu.Lock()
	if len(d.rest) > 0 {
		n := copy(p, d.rest)
		if d.rest = d.rest[n:]; len(d.rest) == 0 {
			d.rest = nil
		}
		d.mu.Unlock()
		return n, nil
	}
	d.mu.Unlock()
	return d.nc.Read(p)
}

func (d *detached) Write(p []byte) (int, error) {
	<-d.done
	if d.err != nil {
		return 0, d.err
	}
	return d.nc.Write(p)
}

func (d *detached) Close() error {
	<-d.done
	if d.err != nil {
		return d.err
	}
	return d.nc.Close()
}

// CloseWrite shuts down the sending half where the connection has halves.
// net/http uses it to let a refused client read the answer.
func (d *detached) CloseWrite() error {
	<-d.done
	if d.err != nil {
		return d.err
	}
	if cw, ok := d.nc.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return nil
}

func (d *detached) LocalAddr() net.Addr  { return addrOr(d.local) }
func (d *detached) RemoteAddr() net.Addr { return addrOr(d.remote) }

func (d *detached) SetDeadline(t time.Time) error      { return d.set(t, net.Conn.SetDeadline) }
func (d *detached) SetReadDeadline(t time.Time) error  { return d.set(t, net.Conn.SetReadDeadline) }
func (d *detached) SetWriteDeadline(t time.Time) error { return d.set(t, net.Conn.SetWriteDeadline) }

func (d *detached) set(t time.Time, fn func(net.Conn, time.Time) error) error {
	<-d.done
	if d.err != nil {
		return d.err
	}
	return fn(d.nc, t)
}
