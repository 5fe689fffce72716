package engine

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"sync"
	"sync/atomic"

	"github.com/epio-go/epio/internal/safelog"
)

// DefaultSendBuffer is the number of bytes a connection may have queued when
// Options.SendBuffer is 0.
const DefaultSendBuffer = 4 << 20

var (
	// ErrBufferFull is returned by Send and Queue when the frame would take the
	// connection's queue beyond Options.SendBuffer. Nothing was queued.
	ErrBufferFull = errors.New("engine: send buffer full")

	// ErrInboundLimit is the cause of a close when a handler left more than
	// Options.MaxInbound bytes unconsumed.
	ErrInboundLimit = errors.New("engine: too many unconsumed bytes")

	// ErrClosed is returned by Send after the connection was closed. It matches
	// net.ErrClosed.
	ErrClosed = fmt.Errorf("engine: connection closed: %w", net.ErrClosed)

	errUnsupported = errors.New("engine: not supported here")
)

// Handler receives the events of one connection.
type Handler interface {
	// Data gets every byte that was received and not consumed yet, in order. It
	// borrows p, and may overwrite those bytes of it that it consumes (to unmask
	// them). It returns how many it consumed; the rest is kept and shown again
	// in front of newer bytes, so a handler that needs more simply returns 0.
	// When Data called SetHandler, the rest goes to the new handler at once.
	//
	// Calls are serial. Data must not block and must not run user code. A panic
	// in it closes the connection.
	Data(c *Conn, p []byte) (consumed int)

	// Closed is called exactly once, after the last Data and under no lock of
	// the engine. err is io.EOF when the peer closed, net.ErrClosed after
	// Close(nil), and otherwise the cause.
	Closed(c *Conn, err error)
}

// Options configure an Engine. The zero value works.
type Options struct {
	// Portable forces the portable engine where the reactor exists too.
	Portable bool

	// Reactor chooses what watches the descriptors where there is a choice.
	Reactor Reactor

	// SendBuffer bounds the bytes queued for one connection. 0 means
	// DefaultSendBuffer. A single frame larger than the bound is refused.
	SendBuffer int

	// HighWater and LowWater are the bytes in a connection's queue from which on it
	// counts as slow, exclusive, and down to which it does until then, inclusive; see
	// FlowHandler. HighWater 0 means that no connection ever does.
	HighWater, LowWater int

	// MaxInbound bounds the bytes a handler may leave unconsumed. 0 means no
	// bound: the handler enforces its own.
	MaxInbound int

	// KeepNetpollConfig leaves netpoll's process-wide settings alone.
	KeepNetpollConfig bool

	// Logger receives accept failures and recovered panics. nil discards.
	Logger *slog.Logger
}

// Reactor is an implementation of the reactor.
type Reactor uint8

const (
	// Epoll is this package's own loop around epoll. It is the default.
	Epoll Reactor = iota
	// Netpoll is cloudwego/netpoll.
	Netpoll
)

// Engine owns connections and listeners. All methods are safe for concurrent use.
type Engine struct {
	// immutable after New
	opts    Options
	log     *slog.Logger
	wheel   *Wheel
	flusher flusher
	reactor *reactor // nil: portable only

	conns atomic.Int64
	reg   [16]registry

	mu        sync.Mutex
	idle      sync.Cond // signalled when conns drops to 0
	closed    bool
	done      chan struct{} // closed by Close
	listeners map[net.Listener]struct{}
}

// registry is one shard of the list of open connections.
type registry struct {
	mu   sync.Mutex
	head *Conn
}

// New makes an engine. It starts no goroutine and opens no descriptor before
// the first connection.
func New(o Options) *Engine {
	if o.SendBuffer <= 0 {
		o.SendBuffer = DefaultSendBuffer
	}
	if o.HighWater <= 0 {
		o.HighWater = math.MaxInt
	}
	e := &Engine{
		opts:      o,
		log:       safelog.New(o.Logger),
		wheel:     NewWheel(),
		done:      make(chan struct{}),
		listeners: make(map[net.Listener]struct{}),
	}
	e.idle.L = &e.mu
	if !o.Portable {
		e.reactor = newReactor(e)
	}
	return e
}

// Wheel returns the engine's timer wheel.
func (e *Engine) Wheel() *Wheel { return e.wheel }

// Conns returns the number of open connections.
func (e *Engine) Conns() int { return int(e.conns.Load()) }

// Adopt takes over nc, a hijacked or in-memory connection, and delivers carry
// and then everything nc receives to h. carry is borrowed; it holds bytes that
// somebody else has read from nc already.
//
// TCP and Unix connections go to the reactor where there is one: their
// descriptor is duplicated and nc is closed, which frees the goroutine and
// memory behind nc. Others stay on the portable engine. Data may be called
// before Adopt returns. On error nc is closed and h is not called.
func (e *Engine) Adopt(nc net.Conn, carry []byte, h Handler) (*Conn, error) {
	if d, ok := nc.(*detached); ok {
		inner, rest, err := d.unwrap()
		if err != nil {
			return nil, err
		}
		nc = inner
		if len(rest) > 0 {
			carry = append(carry[:len(carry):len(carry)], rest...) // carry was read before
		}
	}
	if e.reactor != nil {
		c, err := e.reactor.adopt(nc, carry, h)
		if !errors.Is(err, errUnsupported) {
			return c, err
		}
	}
	return e.adoptPortable(nc, carry, func(*Conn) Handler { return h })
}

// Serve accepts connections from ln until ln or the engine is closed, and
// returns the reason, which matches net.ErrClosed then. accept is called for
// every connection and returns its handler, or nil to refuse it. It must not
// block.
//
// Running out of descriptors does not end Serve: it waits and tries again.
func (e *Engine) Serve(ln net.Listener, accept func(*Conn) Handler) error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		ln.Close()
		return ErrClosed
	}
	e.listeners[ln] = struct{}{}
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		delete(e.listeners, ln)
		e.mu.Unlock()
	}()
	return e.acceptLoop(ln, accept)
}

// Close closes all listeners and connections and waits until every handler's
// Closed has returned. It must not be called from a handler.
func (e *Engine) Close() {
	e.mu.Lock()
	if !e.closed {
		e.closed = true
		close(e.done)
		for ln := range e.listeners {
			ln.Close()
		}
	}
	e.mu.Unlock()
	for i := range e.reg {
		for _, c := range e.reg[i].snapshot() {
			c.Close(nil)
		}
	}
	e.mu.Lock()
	for e.conns.Load() > 0 {
		e.idle.Wait()
	}
	e.mu.Unlock()
	e.wheel.Stop()
	if e.reactor != nil {
		e.reactor.close()
	}
}

// register adds c to the open connections. It fails after Close.
func (e *Engine) register(c *Conn) error {
	r := c.registry()
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-e.done:
		return ErrClosed
	default:
	}
	e.conns.Add(1)
	c.next = r.head
	if r.head != nil {
		r.head.prev = c
	}
	r.head = c
	return nil
}

func (e *Engine) unregister(c *Conn) {
	r := c.registry()
	r.mu.Lock()
	if c.next != nil {
		c.next.prev = c.prev
	}
	if c.prev != nil {
		c.prev.next = c.next
	} else if r.head == c {
		r.head = c.next
	}
	c.prev, c.next = nil, nil
	r.mu.Unlock()
}

// leave is the counterpart of register's count, after Closed has returned.
func (e *Engine) leave() {
	if e.conns.Add(-1) == 0 {
		e.mu.Lock()
		e.idle.Broadcast()
		e.mu.Unlock()
	}
}

func (r *registry) snapshot() []*Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*Conn
	for c := r.head; c != nil; c = c.next {
		all = append(all, c)
	}
	return all
}

// reason turns a close cause into what Handler.Closed documents.
func reason(err error) error {
	if err == nil {
		return net.ErrClosed
	}
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return err
}
