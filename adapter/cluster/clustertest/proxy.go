package clustertest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Proxy is a TCP proxy on loopback that can be cut.
type Proxy struct {
	t  testing.TB
	to string

	mu    sync.Mutex
	addr  string       // guarded by mu
	l     net.Listener // guarded by mu; nil while it is cut
	conns []net.Conn   // guarded by mu
	done  sync.WaitGroup
}

// NewProxy returns a proxy for the address to, with an address of its own.
func NewProxy(t testing.TB, to string) *Proxy {
	p := &Proxy{t: t, to: to, addr: "127.0.0.1:0"}
	p.Restore()
	t.Cleanup(func() {
		p.Cut()
		p.done.Wait()
	})
	return p
}

// Addr returns where the proxy listens, also while it is cut.
func (p *Proxy) Addr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.addr
}

// Restore lets connections through again.
func (p *Proxy) Restore() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.l, p.addr = l, l.Addr().String()
	p.done.Go(func() { p.accept(l) })
}

func (p *Proxy) accept(l net.Listener) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.to)
		if err != nil {
			_ = in.Close()
			continue
		}
		p.mu.Lock()
		if p.l != l {
			_ = in.Close()
			_ = out.Close()
		}
		p.conns = append(p.conns, in, out)
		p.mu.Unlock()
		p.done.Go(func() { pipe(in, out) })
		p.done.Go(func() { pipe(out, in) })
	}
}

func pipe(dst, src net.Conn) {
	_, _ = io.Copy(dst, src)
	_ = dst.Close()
}

// Cut breaks all connections and refuses new ones.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.l != nil {
		_ = p.l.Close()
		p.l = nil
	}
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}
