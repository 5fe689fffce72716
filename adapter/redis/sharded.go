package redis

import (
	"context"
	"errors"
	"sync"
	"time"
	"unicode/utf16"

	goredis "github.com/redis/go-redis/v9"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
)

// SubscriptionMode says which rooms have channels of their own, see ShardedOptions.
type SubscriptionMode string

const (
	// Dynamic gives a channel to every public room, that is one whose name is not 20
	// characters long, as ids of sockets are.
	Dynamic SubscriptionMode = "dynamic"
	// DynamicPrivate gives one to the rooms named like sockets, too.
	DynamicPrivate SubscriptionMode = "dynamic-private"
	// Static gives none: everything goes to all servers.
	Static SubscriptionMode = "static"
)

// ShardedOptions are the options of createShardedAdapter of
// @socket.io/redis-adapter. The zero value is the reference's default.
type ShardedOptions struct {
	// ChannelPrefix is the prefix of the names of all channels. Default "socket.io".
	ChannelPrefix string
	// SubscriptionMode must be the same on all servers. Default Dynamic.
	SubscriptionMode SubscriptionMode
	// RequestsTimeout bounds the wait for the answers of other servers. Default 5 s.
	RequestsTimeout time.Duration

	Tuning
}

// Sharded returns a factory of adapters that are compatible with createShardedAdapter
// of @socket.io/redis-adapter 8. They need Redis 7. It does no I/O; connections are
// made when the first namespace is initialized, and closed with the last one. c itself
// stays the application's. It panics if SubscriptionMode is none of the three, or c is
// not of one of the types *redis.Client and *redis.ClusterClient.
func Sharded(c goredis.UniversalClient, o ShardedOptions) adapter.Factory {
	cs := newClients(c)
	o.ChannelPrefix = or(o.ChannelPrefix, DefaultPrefix)
	switch o.SubscriptionMode {
	case "":
		o.SubscriptionMode = Dynamic
	case Dynamic, DynamicPrivate, Static:
	default:
		panic("adapter/redis: no subscription mode " + string(o.SubscriptionMode))
	}
	return func(h adapter.Host) adapter.Adapter {
		d := &sharded{clients: cs, o: o}
		if o.SubscriptionMode == Static {
			return cluster.New(h, d, o.config(o.RequestsTimeout))
		}
		return cluster.New(h, dynamic{d}, o.config(o.RequestsTimeout))
	}
}

// sharded is the driver of Sharded.
//
//	socket.io#/chat#       everything but answers, counts the servers
//	socket.io#/chat#uid#   answers to one server
//	socket.io#/chat#room#  broadcasts to exactly one room, if it has a channel
type sharded struct {
	// immutable, as all that Open sets
	clients *clients
	o       ShardedOptions
	a       *cluster.Adapter
	hub     *hub
	sess    *session
	channel string

	in   *inbox
	done sync.WaitGroup
}

// dynamic is a sharded driver with channels for rooms.
type dynamic struct{ *sharded }

var (
	_ cluster.Driver         = (*sharded)(nil)
	_ cluster.Counter        = (*sharded)(nil)
	_ cluster.RoomSubscriber = dynamic{}
)

// Open implements [cluster.Driver].
func (d *sharded) Open(ctx context.Context, a *cluster.Adapter) error {
	d.a = a
	d.channel = d.o.ChannelPrefix + "#" + a.Namespace() + "#"
	d.in = newInbox()
	d.hub = d.clients.open()
	d.done.Go(func() { d.in.run(d.receive) })
	d.sess = d.hub.openSession(a, d.in.put)
	return d.sess.open(ctx, topic{shard, d.channel}, topic{shard, d.channel + a.UID() + "#"})
}

// Close implements [cluster.Driver].
func (d *sharded) Close(ctx context.Context) error {
	err := d.sess.close(ctx)
	d.in.close()
	d.done.Wait()
	return errors.Join(err, d.clients.close())
}

// Encode implements [cluster.Driver].
func (d *sharded) Encode(m *cluster.Message) (cluster.Parcel, error) { return d.o.encode(m, d.channel) }

func (o *ShardedOptions) encode(m *cluster.Message, channel string) (cluster.Parcel, error) {
	p := cluster.Parcel{Dest: channel}
	switch {
	case m.To != "":
		p.Dest += m.To + "#"
	case m.Type == cluster.Broadcast && m.RequestID == "" && len(m.Opts.Rooms) == 1 && o.hasChannel(m.Opts.Rooms[0]):
		p.Dest += m.Opts.Rooms[0] + "#"
	}
	var err error
	p.Data, p.Format, err = m.Encode()
	return p, err
}

// hasChannel reports whether a room has a channel. The reference goes by the length of
// the name when it sends, and by whether a socket has that id when it subscribes; the
// former is what counts.
func (o *ShardedOptions) hasChannel(room string) bool {
	switch o.SubscriptionMode {
	case Dynamic, "":
		return jsLen(room) != 20
	case DynamicPrivate:
		return true
	}
	return false
}

// jsLen returns the length of a string in JavaScript, in UTF-16 code units.
func jsLen(s string) int {
	n := 0
	for _, r := range s {
		n += max(1, utf16.RuneLen(r))
	}
	return n
}

// Publish implements [cluster.Driver].
func (d *sharded) Publish(ctx context.Context, ps []cluster.Parcel) (settled, lost int, err error) {
	return d.hub.publish(ctx, ps, true, "")
}

// ServerCount implements [cluster.Counter].
func (d *sharded) ServerCount(ctx context.Context) (int, error) {
	return d.hub.count(ctx, d.channel, true)
}

func (d *sharded) receive(m message) {
	p := []byte(m.payload)
	if d.a.Own(p) {
		return
	}
	msg, err := cluster.Decode(p)
	if err != nil {
		d.a.Malformed(m.channel, err)
		return
	}
	d.a.Receive(msg)
}

// HasChannel implements [cluster.RoomSubscriber].
func (d dynamic) HasChannel(room string) bool { return d.o.hasChannel(room) }

// Rooms implements [cluster.RoomSubscriber].
func (d dynamic) Rooms(ctx context.Context, subscribe, unsubscribe []string) error {
	return errors.Join(d.sess.remove(ctx, d.topics(unsubscribe)...), d.sess.add(ctx, d.topics(subscribe)...))
}

func (d dynamic) topics(rooms []string) []topic {
	ts := make([]topic, len(rooms))
	for i, r := range rooms {
		ts[i] = topic{shard, d.channel + r + "#"}
	}
	return ts
}
