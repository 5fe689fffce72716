package clustertest

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Proxy is a TCP proxy on loopback that can be cut or stand still.
type Proxy struct {
	t        testing.TB
	addr, to string

	still sync.RWMutex // held for writing while nothing moves
	delay atomic.Int64 // nanoseconds

	mu     sync.Mutex
	l      net.Listener // guarded by mu; nil while it is cut
	conns  []net.Conn   // guarded by mu
	frozen bool         // guarded by mu
	done   sync.WaitGroup
}

// NewProxy returns a proxy for the address to, with an address of its own.
func NewProxy(t testing.TB, to string) *Proxy {
	p := &Proxy{t: t, to: to, addr: fmt.Sprint("127.0.0.1:", Port(t))}
	p.Restore()
	t.Cleanup(func() {
		p.Cut()
		p.Thaw()
		p.done.Wait()
	})
	return p
}

// Addr returns where the proxy listens, also while it is cut.
func (p *Proxy) Addr() string { return p.addr }

// Restore lets connections through again.
func (p *Proxy) Restore() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.l = l
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
		p.done.Go(func() { p.move(in, out) })
		p.done.Go(func() { p.move(out, in) })
	}
}

func (p *Proxy) move(to, from net.Conn) {
	defer to.Close()
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if d := p.delay.Load(); d > 0 {
			time.Sleep(time.Duration(d)) // as the way would take
		}
		p.still.RLock()
		if n > 0 {
			if _, failed := to.Write(b[:n]); failed != nil {
				err = failed
			}
		}
		p.still.RUnlock()
		if err != nil {
			return
		}
	}
}

// Delay makes everything take d longer, in each direction, and no more than 32 KiB pass in that time.
func (p *Proxy) Delay(d time.Duration) { p.delay.Store(int64(d)) }

// Freeze lets nothing through, but keeps all connections.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.frozen {
		p.frozen = true
		p.still.Lock()
	}
}

// Thaw lets everything through again.
func (p *Proxy) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen {
		p.frozen = false
		p.still.Unlock()
	}
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
