package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/epio-go/epio/adapter"
)

// Defaults of Config.
const (
	DefaultRequestsTimeout   = 5 * time.Second
	DefaultHeartbeatInterval = 5 * time.Second
	DefaultHeartbeatTimeout  = 10 * time.Second
	DefaultPublishTimeout    = 5 * time.Second
	DefaultQueueBytes        = 64 << 20
)

// Config tunes an [Adapter]. The zero value is that of the reference's adapters.
type Config struct {
	// UID names this server among the others. It must be unique. Default: NewID.
	UID string

	// RequestsTimeout bounds the wait for other servers' answers in FetchSockets,
	// AllRooms and ServerSideCall. Default 5 s.
	RequestsTimeout time.Duration

	// HeartbeatInterval is after how much silence of its own a server says that it is
	// alive. Default 5 s. It does not matter to drivers that implement Counter.
	HeartbeatInterval time.Duration
	// HeartbeatTimeout is after how much silence of another server that counts as
	// dead. Default 10 s.
	HeartbeatTimeout time.Duration

	// PublishTimeout is how long a message waits for a broker that cannot be reached,
	// before it is given up. Default 5 s.
	PublishTimeout time.Duration
	// QueueBytes bounds the memory of messages that wait for the broker. Beyond it
	// sending fails with ErrQueueFull. Default 64 MiB.
	QueueBytes int

	// RoomRequests says that all servers understand AllRooms messages. Otherwise
	// rooms are collected from the descriptions of all sockets, since the reference's
	// family has no message for them.
	RoomRequests bool
}

func (c *Config) setDefaults() {
	if c.UID == "" {
		c.UID = NewID()
	}
	setDefault(&c.RequestsTimeout, DefaultRequestsTimeout)
	setDefault(&c.HeartbeatInterval, DefaultHeartbeatInterval)
	setDefault(&c.HeartbeatTimeout, DefaultHeartbeatTimeout)
	setDefault(&c.PublishTimeout, DefaultPublishTimeout)
	if c.QueueBytes <= 0 {
		c.QueueBytes = DefaultQueueBytes
	}
}

func setDefault(d *time.Duration, v time.Duration) {
	if *d <= 0 {
		*d = v
	}
}

// countTimeout bounds the question to the broker how many servers there are.
const countTimeout = 2 * time.Second

// Adapter is an [adapter.Adapter] on top of a [Driver].
//
// Up to five goroutines work for it from Init to Close: one publishes, one runs server-side
// listeners, one keeps heartbeats, one follows rooms, one delivers what does not come back from
// the log; the last three only with drivers that need them. Lock order: none of its locks is held
// while another is taken, and none while the driver, the host or the index is called, except with
// recovery: Logged.delivery, then the echoes' lock, then the queue's; under the first, host and
// index are called.
type Adapter struct {
	// immutable
	host    adapter.Host
	nsp     string
	x       *adapter.Index
	driver  Driver
	counter Counter // nil with heartbeats
	cfg     Config
	log     *slog.Logger

	tails [][]byte // immutable; see Own

	logging *Logged // nil without a log; set before Init
	echoes  *echoes // nil unless recovery is on; set before Init

	queue    queue
	requests requests
	members  members
	events   events
	rooms    *roomFollower // nil without a RoomSubscriber

	opened atomic.Bool
	closed atomic.Bool
	stop   context.CancelCauseFunc // set by Init
	done   sync.WaitGroup

	servers   atomic.Int64 // as counted last; with a Counter
	fetching  chan struct{}
	malformed throttle
	unsent    throttle
	other     throttle
	trouble   throttle
}

var _ adapter.Adapter = (*Adapter)(nil)

// New returns an adapter that sends and receives by means of d.
func New(h adapter.Host, d Driver, c Config) *Adapter {
	c.setDefaults()
	a := &Adapter{
		host:     h,
		nsp:      h.Namespace(),
		x:        adapter.NewIndex(adapter.Config{Logger: h.Logger()}),
		driver:   d,
		cfg:      c,
		log:      h.Logger(),
		fetching: make(chan struct{}, maxFetching),
		members:  members{begun: time.Now()},
	}
	a.counter, _ = d.(Counter)
	a.tails = a.ownTails()
	a.queue = queue{
		limit:   c.QueueBytes,
		patient: c.PublishTimeout,
		publish: d.Publish,
		lost:    a.lost,
		wake:    make(chan struct{}, 1),
		empty:   make(chan struct{}),
	}
	a.events = events{wake: make(chan struct{}, 1)}
	if rs, ok := d.(RoomSubscriber); ok {
		a.rooms = newRoomFollower(rs)
	}
	return a
}

// UID returns the name of this server among the others.
func (a *Adapter) UID() string { return a.cfg.UID }

// Namespace returns the name of the namespace.
func (a *Adapter) Namespace() string { return a.nsp }

// Host returns the host.
func (a *Adapter) Host() adapter.Host { return a.host }

// Logger is where drivers report what they survive.
func (a *Adapter) Logger() *slog.Logger { return a.log }

// Index implements [adapter.Adapter].
func (a *Adapter) Index() *adapter.Index { return a.x }

// Init implements [adapter.Adapter]. An error means that the broker could not be reached
// yet: sockets of this server are served, and the others join when it can.
func (a *Adapter) Init(ctx context.Context) error {
	run, stop := context.WithCancelCause(context.Background())
	a.stop = stop
	// Answers to what comes in during Open wait in the queue.
	a.opened.Store(true)
	err := a.driver.Open(ctx, a)
	a.done.Go(func() { a.queue.run(run) })
	a.done.Go(func() { a.events.run(run, a.host) })
	if a.rooms != nil {
		a.done.Go(func() { a.rooms.run(run, a) })
		a.rooms.observe(a.x)
	}
	if a.echoes != nil {
		a.done.Go(func() { a.logging.listen(run) })
	}
	if a.counter == nil {
		a.done.Go(func() { a.keepAlive(run) })
		err = errors.Join(err, a.send(&Message{Type: InitialHeartbeat}))
	}
	if err != nil {
		return fmt.Errorf("adapter/cluster: %w", err)
	}
	return nil
}

// running reports whether there are others to talk to.
func (a *Adapter) running() bool { return a.opened.Load() && !a.closed.Load() }

// closeWait bounds Close.
const closeWait = 2 * time.Second

// Close implements [adapter.Adapter]. What is queued is still published, within ctx and
// two seconds. When a broker that stands still holds up goroutines for longer, they end
// later, and Close returns context.DeadlineExceeded.
func (a *Adapter) Close(ctx context.Context) error {
	if a.closed.Swap(true) {
		return nil
	}
	if !a.opened.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, closeWait)
	if a.rooms != nil {
		a.rooms.stop()
	}
	if a.counter == nil {
		// If this one cannot be sent, silence says the same.
		_ = a.send(&Message{Type: AdapterClose})
	}
	a.queue.close()
	a.queue.drained(ctx)
	a.requests.end(net.ErrClosed)
	ended := make(chan error, 1)
	go func() {
		defer cancel()
		err := a.driver.Close(ctx)
		a.stop(net.ErrClosed)
		a.done.Wait()
		ended <- err
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	// What goes on without the broker is over in no time.
	select {
	case err := <-ended:
		return err
	case <-time.After(closeWait / 10):
		return context.Cause(ctx)
	}
}

// encode makes m ready in this server's name.
func (a *Adapter) encode(m *Message) (Parcel, error) {
	if !a.opened.Load() {
		return Parcel{}, net.ErrClosed
	}
	m.UID, m.Namespace = a.cfg.UID, a.nsp
	p, err := a.driver.Encode(m)
	p.Type = m.Type
	return p, err
}

// send publishes m in this server's name.
func (a *Adapter) send(m *Message) error {
	p, err := a.encode(m)
	if err != nil {
		return err
	}
	if err := a.queue.put(p); err != nil {
		return err
	}
	a.members.published()
	return nil
}

// Publish sends a parcel of the driver's own: for what a format has beyond Message. It
// does not wait.
func (a *Adapter) Publish(p Parcel) error { return a.queue.put(p) }

// reply publishes an answer. Whoever asked is told by the silence when it fails.
func (a *Adapter) reply(to *Message, m *Message) {
	m.To, m.RequestID = to.UID, to.RequestID
	if err := a.send(m); err != nil && err != net.ErrClosed {
		a.other.log(a.log, slog.LevelWarn, 1, "adapter: request not answered",
			withStack(err, "namespace", a.nsp, "type", int(to.Type), "err", err)...)
	}
}

// lost reports messages that were given up.
func (a *Adapter) lost(n int, err error) {
	a.unsent.log(a.log, slog.LevelError, n, "adapter: messages to other servers lost",
		"namespace", a.nsp, "err", err)
}

// Malformed reports a message that could not be decoded.
func (a *Adapter) Malformed(source string, err error) {
	a.malformed.log(a.log, slog.LevelWarn, 1, "adapter: malformed message ignored",
		"namespace", a.nsp, "source", source, "err", err)
}

// Report logs trouble of a driver that goes on, at most once in a few seconds.
func (a *Adapter) Report(msg string, err error) {
	a.trouble.log(a.log, slog.LevelWarn, 1, msg, "namespace", a.nsp, "err", err)
}

// Waits reports whether a request of this server with this id is open. Where answers
// reach everybody it saves the others from decoding them.
func (a *Adapter) Waits(requestID string) bool { return a.requests.waits(requestID) }

// Own reports whether p is an envelope of this server's, as EncodeAs writes it. Where
// servers get what they have sent it saves them from decoding that. It may report false for
// one that is; Receive ignores those.
func (a *Adapter) Own(p []byte) bool {
	for _, tail := range a.tails {
		if bytes.HasSuffix(p, tail) {
			return true
		}
	}
	return false
}

// ownTails returns what all envelopes of this server end with.
func (a *Adapter) ownTails() (tails [][]byte) {
	for _, f := range []Format{JSON, Msgpack} {
		m := Message{Type: Heartbeat, UID: a.cfg.UID, Namespace: a.nsp}
		p, err := m.EncodeAs(f)
		if err != nil {
			continue // of a uid that cannot be encoded nothing is sent
		}
		if i := bytes.Index(p, []byte("uid")); i > 0 {
			tails = append(tails, p[i-1:]) // with the quote or the header in front
		}
	}
	return tails
}

// Asking reports whether any request of this server is open. Where answers reach
// everybody, and do not say to which request before they are fetched, it saves that.
func (a *Adapter) Asking() bool { return a.requests.any() }

// local reports whether o is for this server alone. After Close it is not: whoever sends is
// to know that the others get nothing.
func (a *Adapter) local(o *adapter.Opts) bool {
	return o.Flags.Has(adapter.Local) || !a.opened.Load()
}

// Broadcast implements [adapter.Adapter].
func (a *Adapter) Broadcast(p adapter.Packet, o adapter.Opts) error {
	var waits bool
	var err error
	if !a.local(&o) {
		waits, err = a.logged(&Message{Type: Broadcast, Event: p.Event(), Args: p.Args(), Opts: o})
	}
	switch {
	case !waits:
		a.x.Broadcast(p, o)
	case o.Batch != nil:
		o.Batch.Flush()
	}
	return err
}

// BroadcastWithAck implements [adapter.Adapter].
//
// Clients here get the packet first. Then the broker is asked how many servers there
// are, if it is the one who knows; when it does not say, as many as last time.
func (a *Adapter) BroadcastWithAck(p adapter.Packet, o adapter.Opts, acks adapter.Acks) (int, error) {
	if a.local(&o) {
		acks.Count(a.x.Broadcast(p, o))
		return 1, nil
	}
	r := &ackRequest{acks: acks}
	if a.counter == nil {
		r.servers = a.members.uids()
	}
	m := &Message{Type: Broadcast, Event: p.Event(), Args: p.Args(), Opts: o}
	m.RequestID = a.requests.addAck(r, o.Timeout)
	err := a.send(m)
	acks.Count(a.x.Broadcast(p, o))
	if err != nil {
		a.requests.dropAck(m.RequestID)
		return 1, err
	}
	if a.counter == nil {
		return 1 + len(r.servers), nil
	}
	n, err := a.count(context.Background(), o.Timeout)
	if err != nil {
		// Nobody can say who got it. To be done before the time is up takes a server
		// more than can be there.
		a.other.log(a.log, slog.LevelWarn, 1, "adapter: servers not counted", "namespace", a.nsp, "err", err)
		n = max(2, int(a.servers.Load()))
	}
	return max(1, n), nil
}

// ServerCount implements [adapter.Adapter].
func (a *Adapter) ServerCount(ctx context.Context) (int, error) {
	if !a.running() {
		return 1, nil
	}
	if a.counter == nil {
		return 1 + a.members.len(), nil
	}
	return a.count(ctx, 0)
}

// count asks the broker, for at most limit if that is not 0.
//
// The end of ctx does not end it: a request that nobody needs to answer ends well
// whatever its context says, and that is not known before.
func (a *Adapter) count(ctx context.Context, limit time.Duration) (int, error) {
	wait := countTimeout
	if limit > 0 {
		wait = min(wait, limit)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), wait)
	defer cancel()
	n, err := a.counter.ServerCount(ctx)
	if err != nil {
		return 0, err
	}
	n = min(max(n, 1), math.MaxInt32)
	a.servers.Store(int64(n))
	return n, nil
}

// AddSockets implements [adapter.Adapter].
func (a *Adapter) AddSockets(o adapter.Opts, rooms []string) error {
	var waits bool
	var err error
	if !a.local(&o) {
		waits, err = a.logged(&Message{Type: SocketsJoin, Opts: o, Rooms: rooms})
	}
	if !waits {
		a.x.AddSockets(o, rooms)
	}
	return err
}

// DelSockets implements [adapter.Adapter].
func (a *Adapter) DelSockets(o adapter.Opts, rooms []string) error {
	var waits bool
	var err error
	if !a.local(&o) {
		waits, err = a.logged(&Message{Type: SocketsLeave, Opts: o, Rooms: rooms})
	}
	if !waits {
		a.x.DelSockets(o, rooms)
	}
	return err
}

// DisconnectSockets implements [adapter.Adapter].
func (a *Adapter) DisconnectSockets(o adapter.Opts, close bool) error {
	var waits bool
	var err error
	if !a.local(&o) {
		waits, err = a.logged(&Message{Type: DisconnectSockets, Opts: o, Close: close})
	}
	if !waits {
		a.x.DisconnectSockets(o, close)
	}
	return err
}

// ServerSideEmit implements [adapter.Adapter].
func (a *Adapter) ServerSideEmit(event string, args []any) error {
	if !a.opened.Load() {
		return nil
	}
	return a.send(&Message{Type: ServerSideEmit, Event: event, Args: args})
}
