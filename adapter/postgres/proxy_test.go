package postgres_test

import (
	"context"
	"net"
	"os"
	"os/signal"
	"sync"
	"testing"
)

func signalContext() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt)
}

// proxy is a TCP proxy that can be cut or stand still.
type proxy struct {
	t    *testing.T
	to   string
	addr string

	still sync.RWMutex // held for writing while nothing moves

	mu    sync.Mutex
	l     net.Listener // guarded by mu; nil while it is cut
	conns []net.Conn   // guarded by mu
}

func newProxy(t *testing.T, to string) *proxy {
	p := &proxy{t: t, to: to, addr: "127.0.0.1:0"}
	p.restore()
	t.Cleanup(p.cut)
	return p
}

func (p *proxy) restore() {
	p.t.Helper()
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	p.l, p.addr = l, l.Addr().String()
	p.mu.Unlock()
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", p.to)
			if err != nil {
				in.Close()
				continue
			}
			p.mu.Lock()
			if p.l != l {
				in.Close()
				out.Close()
			}
			p.conns = append(p.conns, in, out)
			p.mu.Unlock()
			go p.move(in, out)
			go p.move(out, in)
		}
	}()
}

func (p *proxy) move(to, from net.Conn) {
	defer to.Close()
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		p.still.RLock()
		if err == nil {
			_, err = to.Write(b[:n])
		}
		p.still.RUnlock()
		if err != nil {
			return
		}
	}
}

// freeze lets nothing through, and thaw everything again.
func (p *proxy) freeze() { p.still.Lock() }
func (p *proxy) thaw()   { p.still.Unlock() }

// cut breaks all connections and refuses new ones.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.l != nil {
		p.l.Close()
		p.l = nil
	}
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}
