package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/epio-go/epio/adapter/cluster"
)

// ErrChannelName is wrapped by what Init and everything that sends to other servers
// returns when prefix and namespace do not make the name of a channel. The namespace is
// served on this server alone then.
var ErrChannelName = errors.New("adapter/postgres: not a name of a channel")

// maxChannel is how many bytes PostgreSQL's names have at most. Of longer ones LISTEN
// uses the beginning, which another namespace may share.
const maxChannel = 63

// driver carries the messages of one namespace through the channel prefix#namespace.
type driver struct {
	// immutable
	hubs *hubs
	pool *pgxpool.Pool
	o    Options

	// immutable, set by Open
	a       *cluster.Adapter
	hub     *hub
	sub     *subscription
	pub     publisher
	in      *inbox
	refused error // why there is no channel
	done    sync.WaitGroup
}

var _ cluster.Driver = (*driver)(nil)

// channel returns the channel of a namespace.
func (o *Options) channel(nsp string) (string, error) {
	channel := o.ChannelPrefix + "#" + nsp
	switch {
	case len(channel) > maxChannel:
		return "", fmt.Errorf("%w: %q has %d bytes, PostgreSQL allows %d", ErrChannelName, channel, len(channel), maxChannel)
	case !utf8.ValidString(channel) || strings.ContainsRune(channel, 0):
		return "", fmt.Errorf("%w: %q", ErrChannelName, channel)
	}
	return channel, nil
}

// openWait bounds the wait for PostgreSQL when a server starts.
const openWait = 5 * time.Second

// Open implements [cluster.Driver].
func (d *driver) Open(ctx context.Context, a *cluster.Adapter) error {
	d.a = a
	channel, err := d.o.channel(a.Namespace())
	if err != nil {
		d.refused = err
		return err
	}
	d.pub = publisher{pool: d.pool, channel: channel, uid: a.UID(), insert: insertSQL(d.o.TableName)}
	run, stop := context.WithCancel(context.Background())
	d.in = newInbox(stop)
	r := newReceiver(a, d.pool, d.o.TableName)
	d.done.Go(func() { d.in.run(func(payloads []string) { r.receive(run, payloads) }) })
	d.sub = &subscription{a: a, channel: channel, put: d.in.put, again: d.again, placed: make(chan struct{})}
	d.hub = d.hubs.open()
	ctx, cancel := context.WithTimeout(ctx, openWait)
	defer cancel()
	return d.hub.add(ctx, d.sub)
}

// again introduces this server to the others once more, after it has not heard them for
// a while.
func (d *driver) again() {
	p, err := d.Encode(&cluster.Message{
		Type: cluster.InitialHeartbeat, UID: d.a.UID(), Namespace: d.a.Namespace(),
	})
	if err == nil {
		_ = d.a.Publish(p) // fails when the queue is full, whose messages will do
	}
}

// Close implements [cluster.Driver].
func (d *driver) Close(context.Context) error {
	if d.refused != nil {
		return nil
	}
	d.hub.remove(d.sub)
	d.in.close()
	d.done.Wait()
	d.hubs.close()
	return nil
}

// Encode implements [cluster.Driver].
func (d *driver) Encode(m *cluster.Message) (cluster.Parcel, error) {
	if d.refused != nil {
		switch m.Type {
		case cluster.InitialHeartbeat, cluster.Heartbeat, cluster.AdapterClose:
			return cluster.Parcel{Type: m.Type}, nil // Publish drops it
		}
		return cluster.Parcel{}, d.refused
	}
	return d.o.encode(m)
}

// encode makes a parcel. Those in JSON are notifications; those in msgpack are rows of the
// table, and Dest is what their headers say beyond the reference's.
func (o *Options) encode(m *cluster.Message) (cluster.Parcel, error) {
	p := cluster.Parcel{Type: m.Type}
	var err error
	p.Data, p.Format, err = m.Encode()
	if err == nil && p.Format == cluster.JSON && len(p.Data) >= o.PayloadThreshold {
		p.Format = cluster.Msgpack
		p.Data, err = m.EncodeAs(cluster.Msgpack)
	}
	if err == nil && p.Format == cluster.Msgpack {
		p.Dest, err = hints(m)
	}
	return p, err
}

// Publish implements [cluster.Driver].
func (d *driver) Publish(ctx context.Context, ps []cluster.Parcel) (settled, lost int, err error) {
	if d.refused != nil {
		return len(ps), 0, nil
	}
	return d.pub.publish(ctx, ps)
}
