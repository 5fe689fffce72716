package cluster_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/adaptertest"
	"github.com/epio-go/epio/adapter/cluster"
)

// A broker within the process, and two drivers for it: one that counts servers and has
// channels for rooms, as sharded redis, and one with heartbeats, as Postgres.

// broker knows channels. Each subscriber has an inbox that one goroutine works off.
type broker struct {
	mu       sync.Mutex
	channels map[string][]*busDriver // guarded by mu
	err      error                   // guarded by mu: what every use of the broker fails with
	hold     chan struct{}           // guarded by mu: not nil: Publish waits until it is closed
	sent     []cluster.Type          // guarded by mu
}

func newBroker() *broker { return &broker{channels: make(map[string][]*busDriver)} }

func (b *broker) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

// freeze has publishers wait until thaw is called.
func (b *broker) freeze() (thaw func()) {
	hold := make(chan struct{})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hold = hold
	return func() {
		b.mu.Lock()
		b.hold = nil
		b.mu.Unlock()
		close(hold)
	}
}

func (b *broker) wait(ctx context.Context) error {
	b.mu.Lock()
	hold, err := b.hold, b.err
	b.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

func (b *broker) publish(channel string, p []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range b.channels[channel] {
		d.put(p)
	}
}

func (b *broker) set(d *busDriver, channel string, on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(b.channels[channel]), func(o *busDriver) bool { return o == d })
	if on {
		list = append(list, d)
	}
	b.channels[channel] = list
}

func (b *broker) subscribers(channel string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.channels[channel])
}

func (b *broker) types() []cluster.Type {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.sent)
}

// busDriver implements cluster.Driver.
type busDriver struct {
	b       *broker
	a       *cluster.Adapter
	msgpack bool
	done    sync.WaitGroup

	mu     sync.Mutex
	wake   sync.Cond
	inbox  [][]byte // guarded by mu
	closed bool     // guarded by mu
}

func newBusDriver(b *broker) *busDriver {
	d := &busDriver{b: b}
	d.wake.L = &d.mu
	return d
}

func (d *busDriver) put(p []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inbox = append(d.inbox, p)
	d.wake.Signal()
}

func (d *busDriver) Open(_ context.Context, a *cluster.Adapter) error {
	d.a = a
	d.done.Go(d.run)
	d.b.set(d, "all", true)
	d.b.set(d, "node "+a.UID(), true)
	return nil
}

func (d *busDriver) run() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		for len(d.inbox) == 0 {
			if d.closed {
				return
			}
			d.wake.Wait()
		}
		p := d.inbox[0]
		d.inbox = d.inbox[1:]
		d.mu.Unlock()
		if m, err := cluster.Decode(p); err != nil {
			d.a.Malformed("bus", err)
		} else {
			d.a.Receive(m)
		}
		d.mu.Lock()
	}
}

func (d *busDriver) Encode(m *cluster.Message) (cluster.Parcel, error) {
	p := cluster.Parcel{Dest: "all"}
	if m.To != "" {
		p.Dest = "node " + m.To
	}
	var err error
	if d.msgpack {
		p.Data, err = m.EncodeAs(cluster.Msgpack)
	} else {
		p.Data, _, err = m.Encode()
	}
	return p, err
}

func (d *busDriver) Publish(ctx context.Context, ps []cluster.Parcel) (int, int, error) {
	if err := d.b.wait(ctx); err != nil {
		return 0, 0, err
	}
	for i := range ps {
		d.b.publish(ps[i].Dest, ps[i].Data)
		d.b.mu.Lock()
		d.b.sent = append(d.b.sent, ps[i].Type)
		d.b.mu.Unlock()
	}
	return len(ps), 0, nil
}

func (d *busDriver) Close(context.Context) error {
	d.b.set(d, "all", false)
	d.b.set(d, "node "+d.a.UID(), false)
	d.mu.Lock()
	d.closed = true
	d.wake.Signal()
	d.mu.Unlock()
	d.done.Wait()
	return nil
}

// countedDriver is a busDriver that counts and has channels for rooms.
type countedDriver struct{ *busDriver }

func (d countedDriver) ServerCount(ctx context.Context) (int, error) {
	if err := d.b.wait(ctx); err != nil {
		return 0, err
	}
	return d.b.subscribers("all"), nil
}

func (d countedDriver) HasChannel(room string) bool { return room != "" }

func (d countedDriver) Rooms(ctx context.Context, on, off []string) error {
	if err := d.b.wait(ctx); err != nil {
		return err
	}
	for _, room := range on {
		d.b.set(d.busDriver, "room "+room, true)
	}
	for _, room := range off {
		d.b.set(d.busDriver, "room "+room, false)
	}
	return nil
}

func (d countedDriver) Encode(m *cluster.Message) (cluster.Parcel, error) {
	p, err := d.busDriver.Encode(m)
	if m.Type == cluster.Broadcast && m.RequestID == "" && len(m.Opts.Rooms) == 1 && d.HasChannel(m.Opts.Rooms[0]) {
		p.Dest = "room " + m.Opts.Rooms[0]
	}
	return p, err
}

var errBroker = errors.New("broker is away")

func synced(t *testing.T, as []adapter.Adapter) {
	for _, a := range as {
		if err := a.(*cluster.Adapter).Synced(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestContract(t *testing.T) {
	for _, c := range []struct {
		name   string
		driver func(b *broker, i int) cluster.Driver
		config cluster.Config
	}{
		{"heartbeats", func(b *broker, i int) cluster.Driver {
			d := newBusDriver(b)
			d.msgpack = i%2 == 1
			return d
		}, cluster.Config{RoomRequests: true}},
		{"counted", func(b *broker, i int) cluster.Driver {
			d := newBusDriver(b)
			d.msgpack = i%2 == 1
			return countedDriver{d}
		}, cluster.Config{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			adaptertest.Run(t, adaptertest.Config{
				Servers: 3,
				Synced:  synced,
				New: func(t *testing.T, hosts []adapter.Host) []adapter.Adapter {
					b := newBroker()
					var as []adapter.Adapter
					for i, h := range hosts {
						as = append(as, start(t, h, c.driver(b, i), c.config))
					}
					for _, a := range as {
						eventually(t, "all servers", func() bool {
							n, err := a.ServerCount(t.Context())
							return err == nil && n == len(hosts)
						})
					}
					return as
				},
			})
		})
	}
}

// start makes an adapter and initializes it.
func start(t *testing.T, h adapter.Host, d cluster.Driver, c cluster.Config) *cluster.Adapter {
	t.Helper()
	a := cluster.New(h, d, c)
	initialize(t, a)
	return a
}

func initialize(t *testing.T, a *cluster.Adapter) {
	t.Helper()
	if err := a.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	timeout := time.NewTimer(10 * time.Second)
	defer timeout.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout.C:
			t.Fatalf("in vain: %s", what)
		}
	}
}

// testHost is a host with an index of fakes.
type testHost struct {
	log *slog.Logger
	// guarded by mu
	mu        sync.Mutex
	broadcast []string
	answers   []any               // what BroadcastLocal's receivers answer
	event     func(ack func(any)) // what a listener does
}

func (h *testHost) Namespace() string { return "/" }
func (h *testHost) Logger() *slog.Logger {
	if h.log != nil {
		return h.log
	}
	return slog.New(slog.DiscardHandler)
}

func (h *testHost) BroadcastLocal(event string, _ []any, _ adapter.Opts, ack func(string, any)) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.broadcast = append(h.broadcast, event)
	if ack != nil {
		for _, v := range h.answers {
			ack("", v) // before the count is known
		}
	}
	return len(h.answers)
}

func (h *testHost) ServerEvent(_ string, _ []any, ack func(any)) {
	h.mu.Lock()
	f := h.event
	h.mu.Unlock()
	if f != nil {
		f(ack)
	}
}

func (h *testHost) got() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.broadcast)
}

// packet implements adapter.Packet.
type packet string

func (p packet) Event() string { return string(p) }
func (p packet) Args() []any   { return nil }
