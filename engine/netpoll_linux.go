package engine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/cloudwego/netpoll"
	"github.com/epio-go/epio/pool"
	"golang.org/x/sys/unix"
)

const (
	// netpollBuffer is the size of netpoll's read buffer and of the nodes of its
	// linked buffers, in bytes. 512 instead of the default 8 and 4 KiB takes an
	// idle connection from 11 KB to 3.5 KB; larger reads grow on demand.
	netpollBuffer = 512

	// readChunk is the most that one Data call is shown of newly received bytes.
	readChunk = 64 << 10

	// fatRead is the amount of unread input, in bytes, from which on a connection
	// leaves the poller, which would go on reading while the handler is busy, into
	// buffers that never shrink. What flows this fast is read by a goroutine of
	// the connection's own until it ebbs. One read more than that is held at most.
	fatRead = 64 << 10
)

// netpoller runs connections on netpoll.
type netpoller struct {
	e   *Engine
	out outWait
}

// netpollLog is where netpoll writes about itself. Clients must not fill it, and they can with one line: about
// bytes that were there when their connection was reset. The handler of the connection is told anyway.
type netpollLog struct{ w io.Writer }

func (l netpollLog) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("readall(")) {
		return len(p), nil
	}
	return l.w.Write(p)
}

var configureNetpoll = sync.OnceFunc(func() {
	netpoll.LinkBufferCap = netpollBuffer
	err := netpoll.Configure(netpoll.Config{
		PollerNum:    runtime.GOMAXPROCS(0),
		BufferSize:   netpollBuffer,
		LoggerOutput: netpollLog{os.Stderr},
	})
	if err != nil {
		// Only a negative number of pollers is refused.
		panic("engine: netpoll refused its configuration: " + err.Error())
	}
})

// newNetpoller fails when netpoll is not the version this code knows how to
// detach from safely.
func newNetpoller(e *Engine) (*netpoller, error) {
	if !e.opts.KeepNetpollConfig {
		configureNetpoll()
	}
	if err := checkLayout(); err != nil {
		return nil, err
	}
	return &netpoller{e: e, out: outWait{epfd: -1}}, nil
}

func (r *netpoller) close() { r.out.close() }

// netpollConn is a connection on netpoll.
type netpollConn struct {
	fdConn
	r      *netpoller
	np     netpoll.Connection // set while mode is attached or leaving; guarded by mu
	mode   mode               // guarded by mu
	fat    bool               // the poller has taken np out of its set; written by the poller, guarded by mu
	direct bool               // read here before going to a poller; owned by the reading side

	// What np brought for reading, see book and booked.
	inputs   func([][]byte) [][]byte
	inputAck func(int) error
}

// mode says who has the reading side.
type mode uint8

const (
	// busy: a goroutine runs attach, and reads while there is input.
	busy mode = iota
	// attached: netpoll has it; onRequest runs when there is input.
	attached
	// leaving: Detach was called on netpoll; its close callback will run leave.
	leaving
	// parked: nobody. The kernel buffers and TCP pushes back.
	parked
	// over: closed or handed over.
	over
)

// start takes fd.
func (r *netpoller) start(fd int, remote netip.AddrPort, carry []byte, accept func(*Conn) Handler) (*Conn, error) {
	c := &netpollConn{r: r}
	c.e, c.link, c.fd, c.remote = r.e, c, fd, remote
	if err := r.e.register(&c.Conn); err != nil {
		unix.Close(fd)
		return nil, err
	}
	if c.h = accept(&c.Conn); c.h == nil {
		c.gone(ErrClosed)
		r.out.remove(c)
		c.settle()
		unix.Close(fd)
		c.forget()
		return nil, nil
	}
	if len(carry) > 0 {
		c.kept = pool.Copy(carry)
	}
	c.attach()
	return &c.Conn, nil
}

// attach shows what is kept and reads what is there if c.direct says so. Then,
// unless that paused or ended the connection, it registers the descriptor with a
// poller. mode must be busy.
func (c *netpollConn) attach() {
	done := false
	defer func() {
		if !done { // Data has called runtime.Goexit: the connection is closed by now
			c.attachNow()
		}
	}()
	c.attachNow()
	done = true
}

func (c *netpollConn) attachNow() {
	c.redeliver()
	var buf *pool.Buf // taken for as long as there is input
	defer func() {
		if buf != nil {
			buf.Release()
		}
	}()
	for {
		stop := c.stopLocked()
		switch {
		case stop.has(flagDetached):
			c.mode = over
			c.mu.Unlock()
			c.handOver()
			return
		case stop.has(flagClosed):
			c.mode = over
			c.mu.Unlock()
			c.closeFD()
			return
		case stop.has(flagPaused):
			c.mode = parked
			c.mu.Unlock()
			return
		}
		if !c.direct {
			if !c.flags.has(flagWriting) {
				break
			}
			// A writer would use the descriptor while netpoll closes it in
			// case of failure.
			c.mu.Unlock()
			runtime.Gosched()
			continue
		}
		c.mu.Unlock()
		if buf == nil {
			buf = pool.Get(readChunk)
		}
		c.readDirect(buf.B[:readChunk])
	}
	np, err := netpoll.NewFDConnection(c.fd)
	if err != nil {
		// netpoll has closed the descriptor together with its connection.
		c.flags |= flagClosed
		c.closeErr = fmt.Errorf("engine: register with poller: %w", err)
		c.mode = over
		c.mu.Unlock()
		c.r.out.remove(c)
		c.settle()
		c.finish()
		return
	}
	np.AddCloseCallback(c.onLinkClosed)
	c.np, c.mode, c.fat = np, attached, false
	// Under the lock: once somebody has closed np, its operator is another connection's.
	c.watch(np)
	c.mu.Unlock()
	np.SetOnRequest(c.onRequest)
	// A peer that was gone before the callback was set is left to us.
	if !np.IsActive() {
		np.Close()
	}
}

// watch puts book and booked in the place of what the poller calls before and
// after it reads.
func (c *netpollConn) watch(np netpoll.Connection) {
	if w := hold(np); w != nil {
		op := operator(np)
		c.inputs, c.inputAck = op.Inputs, op.InputAck
		op.Inputs, op.InputAck = c.book, c.booked
		atomic.StoreInt32(w, opInUse)
	}
}

// book returns where the poller may read to: nowhere once the connection is fat,
// and no more than readChunk. The poller calls it.
func (c *netpollConn) book(vs [][]byte) [][]byte {
	if c.fat {
		return nil
	}
	vs = c.inputs(vs)
	vs[0] = vs[0][:min(len(vs[0]), readChunk)]
	return vs
}

// booked takes note of n bytes read. If too many are unread then, the poller looks
// at the connection no more, and onRequest, which they have started, takes it away.
// The poller calls it.
func (c *netpollConn) booked(n int) error {
	err := c.inputAck(n)
	c.mu.Lock()
	np := c.np
	// Under the lock, like onRequest's last look at both.
	fat := np != nil && !c.fat && np.Reader().Len() > fatRead
	if fat {
		c.fat = true
	}
	c.mu.Unlock()
	if fat {
		// The kernel knows the descriptor, since an event of it is being handled.
		_ = operator(np).Control(netpoll.PollDetach)
	}
	return err
}

// onRequest runs on a pooled goroutine, one at a time, while there is input. It
// must leave none unread: netpoll would call again at once, for ever. The poller
// goes on reading meanwhile, until the connection is fat.
func (c *netpollConn) onRequest(_ context.Context, np netpoll.Connection) error {
	r := np.Reader()
	for {
		n := r.Len()
		if n > 0 {
			p, err := r.Next(min(n, readChunk))
			if err != nil {
				c.gone(err)
				np.Close()
				return err
			}
			c.deliver(p)
			if err := r.Release(); err != nil {
				c.gone(err)
				np.Close()
				return err
			}
		}
		stop := c.stopLocked()
		if stop.has(flagClosed) {
			c.mu.Unlock()
			// Close has been called on np, or is about to be.
			_ = r.Skip(r.Len())
			_ = r.Release()
			return nil
		}
		if stop != 0 || c.fat {
			c.mode = leaving
			c.mu.Unlock()
			return np.(detacher).Detach() // takes effect when this function has returned
		}
		done := r.Len() == 0
		c.mu.Unlock()
		if done {
			return nil
		}
	}
}

// readDirect reads once from the descriptor, into p. It clears c.direct when
// there is no input.
func (c *netpollConn) readDirect(p []byte) {
	n, err := unix.Read(c.fd, p)
	switch {
	case n > 0:
		c.deliver(p[:n])
	case err == nil:
		c.gone(io.EOF)
	case err == unix.EAGAIN:
		c.direct = false
	case err != unix.EINTR:
		c.gone(fmt.Errorf("engine: read: %w", err))
	}
}

// onLinkClosed is netpoll's close callback: the connection is off the poller,
// the descriptor is still open, and onRequest does not run and will not.
func (c *netpollConn) onLinkClosed(np netpoll.Connection) error {
	seize(np)
	c.inputs, c.inputAck = nil, nil // they keep np and its buffers, and whoever knows a session keeps c
	c.mu.Lock()
	c.np = nil
	if c.mode != leaving && !c.flags.has(flagClosed) && np.Reader().Len() > 0 {
		// The peer has closed. Between onRequest's last look and its own, netpoll looks whether that is so before
		// it looks for input, and would drop what the poller has read in between. Input is what we leave with, and we
		// meet the end of it again in the kernel. The callbacks do not run anew.
		_ = np.(detacher).Detach()
		c.mode = leaving
	}
	if c.mode == leaving {
		c.mode = busy
		c.mu.Unlock()
		c.leave(np)
		return nil
	}
	c.mode = over
	c.mu.Unlock()
	c.gone(errPeerClosed)
	c.r.out.remove(c)
	c.settle()
	// netpoll closes the descriptor when this callback returns. finish calls
	// the handler, which must not hold up the poller's other hang-ups.
	go c.finish()
	return nil
}

// leave completes a Detach from netpoll: input that the poller has read behind
// our back is kept, and the descriptor is ours again.
func (c *netpollConn) leave(np netpoll.Connection) {
	r := np.Reader()
	for n := r.Len(); n > 0; n = r.Len() {
		p, err := r.Next(min(n, readChunk))
		if err != nil {
			c.gone(err)
			break
		}
		c.keep(p)
	}
	_ = r.Release()
	c.direct = true
	go c.attach()
}

func (c *netpollConn) resume() {
	c.mu.Lock()
	if c.mode != parked {
		c.mu.Unlock()
		return // the goroutine that has the reading side sees flagReshow
	}
	c.mode = busy
	c.mu.Unlock()
	c.direct = true
	go c.attach()
}

func (c *netpollConn) close() {
	c.mu.Lock()
	switch c.mode {
	case attached:
		np := c.np
		c.mu.Unlock()
		// Close may run the callbacks, hence the handler's Closed, at once: not
		// on the caller's stack, who may hold locks.
		go np.Close()
		return
	case parked:
		c.mode = over
		c.mu.Unlock()
		go c.closeFD()
		return
	}
	c.mu.Unlock() // whoever has the reading side sees flagClosed
}

// closeFD ends a closed connection that is not on netpoll.
func (c *netpollConn) closeFD() {
	c.r.out.remove(c)
	c.settle()
	unix.Close(c.fd)
	c.finish()
}

// handOver completes Detach.
func (c *netpollConn) handOver() {
	c.r.out.remove(c)
	c.fdConn.handOver()
}

func (c *netpollConn) awaitWritableLocked() error { return c.r.out.add(c) }

// onWritable goes on with the queue after the socket was full.
func (c *netpollConn) onWritable() {
	c.mu.Lock()
	if !c.flags.has(flagWaiting) {
		c.mu.Unlock()
		return
	}
	c.writableLocked()
}

var _ link = (*netpollConn)(nil)
