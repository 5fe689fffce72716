package nats

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/epio-go/epio/adapter/cluster"
)

// Times of a connection, which Options.Connect can change.
const (
	dialTimeout   = 2 * time.Second
	writeTimeout  = 2 * time.Second
	pingInterval  = time.Second // two unanswered ones break a connection
	reconnectWait = 250 * time.Millisecond
)

// received is how many messages may wait between the library's reader and ours, which
// does nothing but sort them. Beyond that the library drops them.
const received = 1 << 15

// connectOptions returns the options of all connections of a factory.
func connectOptions(url string, more []natsgo.Option) (natsgo.Options, error) {
	o := natsgo.GetDefaultOptions()
	o.Name = "epio"
	o.Timeout = dialTimeout
	o.FlusherTimeout = writeTimeout
	o.PingInterval = pingInterval
	o.MaxPingsOut = 2
	o.ReconnectWait = reconnectWait
	o.ReconnectJitter = reconnectWait / 2
	o.ReconnectJitterTLS = reconnectWait
	if url == "" {
		url = natsgo.DefaultURL
	}
	var errs []error
	for u := range strings.SplitSeq(url, ",") {
		if u = strings.TrimSpace(u); u == "" {
			errs = append(errs, errors.New("adapter/nats: URL has an empty part"))
		}
		o.Servers = append(o.Servers, u)
	}
	for _, f := range more {
		if f == nil {
			continue
		}
		if err := f(&o); err != nil {
			errs = append(errs, fmt.Errorf("adapter/nats: Connect: %w", err))
		}
	}
	o.NoEcho = true
	o.AllowReconnect = true
	o.MaxReconnect = -1
	o.RetryOnFailedConnect = true
	// Credentials that are refused may be those of a server that has not been told yet.
	o.IgnoreAuthErrorAbort = true
	// Messages wait in the queue of package cluster, which knows how long.
	o.ReconnectBufSize = -1
	o.NoCallbacksAfterClientClose = true
	return o, errors.Join(errs...)
}

// conns are the connections of a factory: one, unless servers of one process share the
// factory. A connection does not hear itself, so it has one adapter of a namespace.
type conns struct {
	options natsgo.Options // immutable

	mu   sync.Mutex
	list []*conn // guarded by mu
}

// open returns a connection for the driver of a namespace. It may wait for the first
// attempt to connect, but not for its success: errors are those of impossible options.
func (cs *conns) open(d *driver) (*conn, error) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, c := range cs.list {
		if c.add(d) {
			return c, nil
		}
	}
	c, err := connect(cs.options)
	if err != nil {
		return nil, err
	}
	c.add(d)
	cs.list = append(cs.list, c)
	return c, nil
}

// close takes the driver from its connection, and closes that with the last one.
func (cs *conns) close(d *driver) {
	cs.mu.Lock()
	c := d.conn
	last := c.remove(d)
	if last {
		cs.list = slices.DeleteFunc(cs.list, func(o *conn) bool { return o == c })
	}
	cs.mu.Unlock()
	if last {
		c.close()
	}
}

// conn is a connection with the namespaces that use it. Besides
// the library's goroutines there is one that sorts what comes.
type conn struct {
	nc   *natsgo.Conn
	js   jetstream.JetStream
	in   chan *natsgo.Msg // from the library's reader to run
	stop chan struct{}    // closed by close
	done sync.WaitGroup

	mu          sync.RWMutex
	drivers     map[string]*driver // guarded by mu; by the base of their subjects
	reconnected chan struct{}      // guarded by mu; closed when the connection is another one
}

func connect(o natsgo.Options) (*conn, error) {
	c := &conn{
		in:      make(chan *natsgo.Msg, received),
		stop:    make(chan struct{}),
		drivers: make(map[string]*driver),

		reconnected: make(chan struct{}),
	}
	lost, failed, back := o.DisconnectedErrCB, o.AsyncErrorCB, o.ReconnectedCB
	o.DisconnectedErrCB = func(nc *natsgo.Conn, err error) {
		c.report("adapter: connection to NATS lost, and what others sent meanwhile", err)
		if lost != nil {
			lost(nc, err)
		}
	}
	o.AsyncErrorCB = func(nc *natsgo.Conn, s *natsgo.Subscription, err error) {
		// A slow consumer, or something that this user may not do.
		c.report("adapter: trouble with NATS", err)
		if failed != nil {
			failed(nc, s, err)
		}
	}
	o.ReconnectedCB = func(nc *natsgo.Conn) {
		c.mu.Lock()
		close(c.reconnected)
		c.reconnected = make(chan struct{})
		c.mu.Unlock()
		if back != nil {
			back(nc)
		}
	}
	nc, err := o.Connect()
	if err != nil {
		return nil, fmt.Errorf("adapter/nats: %w", err)
	}
	c.nc = nc
	if c.js, err = jetstream.New(nc, jetstream.WithDefaultTimeout(jetWait)); err != nil {
		nc.Close()
		return nil, fmt.Errorf("adapter/nats: %w", err)
	}
	c.done.Go(c.run)
	return c, nil
}

// add reports false when another adapter of the namespace is there.
func (c *conn) add(d *driver) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drivers[d.base] != nil {
		return false
	}
	c.drivers[d.base] = d
	return true
}

// remove reports whether nobody is left.
func (c *conn) remove(d *driver) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.drivers, d.base)
	return len(c.drivers) == 0
}

func (c *conn) close() {
	c.nc.Close()
	close(c.stop)
	c.done.Wait()
}

// again returns a channel that is closed when the connection broke and stands again.
func (c *conn) again() <-chan struct{} {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.reconnected
}

// report logs in the name of one of the namespaces.
func (c *conn) report(msg string, err error) {
	c.mu.RLock()
	var d *driver
	for _, d = range c.drivers {
		break
	}
	c.mu.RUnlock()
	if d != nil {
		d.a.Report(msg, err)
	}
}

// run hands messages to the namespaces they are for.
func (c *conn) run() {
	for {
		select {
		case <-c.stop:
			return
		case m := <-c.in:
			c.mu.RLock()
			d := c.drivers[namespaceOf(m.Subject)]
			c.mu.RUnlock()
			if d != nil && !d.in.put(item{subject: m.Subject, data: m.Data}) {
				d.a.Report("adapter: messages of other servers lost", errSlow)
			}
		}
	}
}

var errSlow = errors.New("adapter/nats: more comes than can be handled")

// flush returns when NATS has carried out what was sent before, subscriptions included,
// once it can be reached.
func (c *conn) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, flushWait)
	defer cancel()
	return c.nc.FlushWithContext(ctx)
}

// flushWait bounds the wait for NATS where the caller does not.
const flushWait = 5 * time.Second

// errAway is why messages wait.
var errAway = errors.New("adapter/nats: not connected")

// publish does what cluster.Driver asks of Publish.
func (c *conn) publish(ctx context.Context, d *driver, ps []cluster.Parcel) (settled, lost int, err error) {
	if !c.nc.IsConnected() {
		return 0, 0, errAway
	}
	before := c.nc.Stats().Reconnects
	var stored []storing
	for i := range ps {
		switch e := c.send(d, i, &ps[i], &stored); {
		case e == nil:
		case errors.Is(e, natsgo.ErrMaxPayload) || errors.Is(e, natsgo.ErrBadSubject) || errors.Is(e, errTooLarge):
			lost, err = lost+1, e // this one alone
		default:
			// The connection broke. What is before ps[i] may be with NATS, or not.
			return i, i, e
		}
	}
	if e := c.nc.FlushWithContext(ctx); e != nil {
		return len(ps), len(ps), e
	}
	if c.nc.Stats().Reconnects != before {
		// The answer is that of another connection.
		return len(ps), len(ps), natsgo.ErrConnectionReconnecting
	}
	if len(stored) > 0 {
		n, e := c.settle(ctx, d, ps, stored)
		lost, err = lost+n, errors.Join(err, e)
	}
	return len(ps), lost, err
}

// storing is a parcel, or a part of it, that JetStream has not yet said to have stored.
type storing struct {
	i   int // the parcel's
	ack jetstream.PubAckFuture
}

// settle waits for JetStream and returns how many parcels it does not keep. What nobody
// was there to keep is sent to the others without the log.
func (c *conn) settle(ctx context.Context, d *driver, ps []cluster.Parcel, stored []storing) (lost int, err error) {
	last := -1 // the parcel that was given up last
	for _, s := range stored {
		var e error
		select {
		case <-s.ack.Ok():
		case e = <-s.ack.Err():
		case <-ctx.Done():
			e = ctx.Err()
		}
		if e == nil || s.i == last {
			continue
		}
		last = s.i
		if errors.Is(e, jetstream.ErrNoStreamResponse) {
			d.a.Report("adapter: NATS keeps no log, packets are sent without", e)
			e = c.split(d, d.log.entry(d, &ps[s.i]), func(b []byte) error { return c.nc.Publish(d.all, b) })
		}
		if e != nil {
			lost, err = lost+1, e
		}
	}
	return lost, err
}

// send publishes one parcel. What goes into the log is appended to stored.
func (c *conn) send(d *driver, i int, p *cluster.Parcel, stored *[]storing) error {
	if d.log == nil || p.Dest != d.log.subject {
		return c.split(d, p.Data, func(b []byte) error { return c.nc.Publish(p.Dest, b) })
	}
	return c.split(d, d.log.entry(d, p), func(b []byte) error {
		// The library keeps it until it is stored.
		ack, err := c.js.PublishAsync(p.Dest, bytes.Clone(b), jetstream.WithRetryAttempts(0))
		if err == nil {
			*stored = append(*stored, storing{i, ack})
		}
		return err
	})
}

// split publishes a frame, in parts if it is too large.
func (c *conn) split(d *driver, frame []byte, publish func(b []byte) error) error {
	limit := c.nc.MaxPayload()
	if int64(len(frame)) <= limit {
		return publish(frame)
	}
	d.number++
	return split(d.a.UID(), d.number, frame, int(limit), publish)
}
