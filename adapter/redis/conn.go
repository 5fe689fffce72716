package redis

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// subscriber makes connections that receive: a client, or one node of a cluster.
type subscriber interface {
	Subscribe(ctx context.Context, channels ...string) *goredis.PubSub
}

// handler takes a message. It is called by one goroutine at a time per connection.
type handler func(channel, payload string)

// Waiting times of connections.
const (
	// pingEvery is after how much silence a connection is tried, and deadAfter after
	// how much it is given up.
	pingEvery = time.Second
	deadAfter = 4 * time.Second

	firstPause = 20 * time.Millisecond
	lastPause  = 500 * time.Millisecond
)

// maxChannels is how many channels are subscribed to with one command.
const maxChannels = 500

// conn is one connection that receives, and is made again when it breaks, with all its
// subscriptions. PubSub would do that itself, but does not say whether a subscription is
// in place, nor notice a peer that has fallen silent in less than a minute.
type conn struct {
	// immutable
	from   subscriber
	report func(err error) // why the connection broke
	moved  func(t topic)   // a cluster's node does not serve t any more
	sole   bool            // a cluster's node: channels of one command must be of one slot
	stop   context.CancelFunc
	ctx    context.Context
	done   sync.WaitGroup

	begun time.Time    // immutable
	heard atomic.Int64 // when something came last, in nanoseconds since begun
	busy  atomic.Bool  // a handler runs

	mu      sync.Mutex
	ps      *goredis.PubSub         // guarded by mu; nil while there is no connection
	topics  map[topic]*subscription // guarded by mu
	leaving map[topic]chan struct{} // guarded by mu: closed when unsubscribed
}

// subscription is one topic of a connection.
type subscription struct {
	handle handler
	placed chan struct{} // closed when Redis has confirmed it the first time
	ok     bool          // guarded by conn.mu: placed is closed
}

func newConn(from subscriber, sole bool, report func(error), moved func(topic)) *conn {
	ctx, stop := context.WithCancel(context.Background())
	c := &conn{
		from:    from,
		sole:    sole,
		report:  report,
		moved:   moved,
		ctx:     ctx,
		stop:    stop,
		topics:  make(map[topic]*subscription),
		leaving: make(map[topic]chan struct{}),
		begun:   time.Now(),
	}
	c.done.Go(c.run)
	return c
}

// close ends the connection and waits for its goroutines.
func (c *conn) close() {
	c.stop()
	c.done.Wait()
}

// has reports whether t is taken.
func (c *conn) has(t topic) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.topics[t] != nil || c.leaving[t] != nil
}

func (c *conn) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.topics)
}

// add subscribes and returns when Redis has confirmed all. When ctx ends before that,
// the subscriptions stay and will be in place some time.
func (c *conn) add(ctx context.Context, handle handler, ts ...topic) error {
	waits := c.take(handle, ts)
	c.mu.Lock()
	ps := c.ps
	c.mu.Unlock()
	if ps != nil {
		// When this fails the connection is broken, and the next one has the topics.
		_ = c.send(ctx, ps, ts, true)
	}
	return wait(ctx, waits)
}

// take makes topics this connection's and returns what is closed when they are in place.
// The next connection has them.
func (c *conn) take(handle handler, ts []topic) []chan struct{} {
	waits := make([]chan struct{}, len(ts))
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, t := range ts {
		s := c.topics[t]
		if s == nil {
			s = &subscription{placed: make(chan struct{})}
			c.topics[t] = s
		}
		s.handle = handle
		waits[i] = s.placed
	}
	return waits
}

// remove unsubscribes and returns when Redis has confirmed that, at once if there is no
// connection.
func (c *conn) remove(ctx context.Context, ts ...topic) error {
	var waits []chan struct{}
	c.mu.Lock()
	for _, t := range ts {
		if c.topics[t] == nil {
			continue
		}
		delete(c.topics, t)
		if c.ps != nil {
			w := make(chan struct{})
			c.leaving[t] = w
			waits = append(waits, w)
		}
	}
	ps := c.ps
	c.mu.Unlock()
	if ps != nil {
		_ = c.send(ctx, ps, ts, false)
	}
	return wait(ctx, waits)
}

func wait(ctx context.Context, waits []chan struct{}) error {
	for _, w := range waits {
		select {
		case <-w:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// send writes commands for topics, which are of any kinds.
func (c *conn) send(ctx context.Context, ps *goredis.PubSub, ts []topic, subscribe bool) error {
	var names [shard + 1][]string
	var errs []error
	flush := func(k topicKind) {
		if len(names[k]) == 0 {
			return
		}
		var err error
		switch {
		case k == plain && subscribe:
			err = ps.Subscribe(ctx, names[k]...)
		case k == plain:
			err = ps.Unsubscribe(ctx, names[k]...)
		case k == pattern && subscribe:
			err = ps.PSubscribe(ctx, names[k]...)
		case k == pattern:
			err = ps.PUnsubscribe(ctx, names[k]...)
		case subscribe:
			err = ps.SSubscribe(ctx, names[k]...)
		default:
			err = ps.SUnsubscribe(ctx, names[k]...)
		}
		errs = append(errs, err)
		names[k] = names[k][:0]
	}
	for _, t := range ts {
		names[t.kind] = append(names[t.kind], t.name)
		if len(names[t.kind]) == maxChannels || c.sole && t.kind == shard {
			flush(t.kind)
		}
	}
	for k := range names {
		flush(topicKind(k))
	}
	return errors.Join(errs...)
}

// run keeps a connection until stop.
func (c *conn) run() {
	pause := firstPause
	for c.ctx.Err() == nil {
		start := time.Now()
		err := c.live()
		if c.ctx.Err() != nil {
			return
		}
		c.report(err)
		if time.Since(start) > 10*time.Second {
			pause = firstPause
		}
		select {
		case <-c.ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
}

// live makes a connection and receives until it breaks.
func (c *conn) live() error {
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	ps := c.from.Subscribe(ctx)
	c.hears()
	var watch sync.WaitGroup
	watch.Go(func() { c.watch(ctx, cancel, ps) })
	defer watch.Wait()
	defer cancel()

	c.mu.Lock()
	c.ps = ps
	ts := make([]topic, 0, len(c.topics))
	for t := range c.topics {
		ts = append(ts, t)
	}
	c.mu.Unlock()
	defer c.lost()

	if err := c.send(ctx, ps, ts, true); err != nil {
		return err
	}
	for {
		m, err := ps.Receive(ctx)
		if err != nil {
			return err
		}
		c.hears()
		switch m := m.(type) {
		case *goredis.Message:
			if h := c.handlerOf(m); h != nil {
				c.busy.Store(true)
				h(m.Channel, m.Payload)
				c.hears()
				c.busy.Store(false)
			}
		case *goredis.Subscription:
			c.confirmed(m)
		}
	}
}

// lost forgets the connection. What was to be unsubscribed is.
func (c *conn) lost() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ps = nil
	for _, w := range c.leaving {
		close(w)
	}
	clear(c.leaving)
}

// watch closes the connection when ctx ends or nothing comes any more, whatever is
// tried.
func (c *conn) watch(ctx context.Context, cancel func(), ps *goredis.PubSub) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	defer func() { _ = ps.Close() }() // it may be closed already
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if c.busy.Load() {
			continue // whoever does not read hears nothing
		}
		silent := c.silent()
		switch {
		case silent > deadAfter:
			return
		case silent >= pingEvery:
			// A connection without subscriptions is not one that may receive: Redis
			// answers in another form then, but the answer is a sign of life.
			if err := ps.Ping(ctx); err != nil {
				return
			}
		}
	}
}

// hears notes that something came.
func (c *conn) hears() { c.heard.Store(int64(time.Since(c.begun))) }

// silent returns how long nothing has come. It knows nothing of the wall clock: a step of
// that is no reason to give up a connection that works.
func (c *conn) silent() time.Duration {
	last := time.Duration(c.heard.Load())
	return time.Since(c.begun) - last
}

func (c *conn) handlerOf(m *goredis.Message) handler {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := topic{plain, m.Channel}
	if m.Pattern != "" {
		t = topic{pattern, m.Pattern}
	}
	s := c.topics[t]
	if s == nil && t.kind == plain {
		s = c.topics[topic{shard, m.Channel}]
	}
	if s == nil {
		return nil
	}
	return s.handle
}

// confirmed notes what Redis says about a subscription.
func (c *conn) confirmed(m *goredis.Subscription) {
	t := topic{name: m.Channel}
	subscribed := true
	switch m.Kind {
	case "psubscribe":
		t.kind = pattern
	case "ssubscribe":
		t.kind = shard
	case "unsubscribe":
		subscribed = false
	case "punsubscribe":
		t.kind, subscribed = pattern, false
	case "sunsubscribe":
		t.kind, subscribed = shard, false
	}
	c.mu.Lock()
	s := c.topics[t]
	if subscribed && s != nil && !s.ok {
		s.ok = true
		close(s.placed)
	}
	if w := c.leaving[t]; !subscribed && w != nil {
		close(w)
		delete(c.leaving, t)
		s = nil
	}
	c.mu.Unlock()
	if !subscribed && s != nil {
		c.moved(t) // not on our order: the channel's slot is another node's now
	}
}
