package redis

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/codec"
)

// ClassicOptions are the options of createAdapter of @socket.io/redis-adapter. The
// zero value is the reference's default.
type ClassicOptions struct {
	// Key is the prefix of the names of all channels. Default "socket.io".
	Key string
	// RequestsTimeout bounds the wait for the answers of other servers. Default 5 s.
	RequestsTimeout time.Duration
	// PublishOnSpecificResponseChannel sends answers to who asked, instead of to all
	// servers. All servers understand both.
	PublishOnSpecificResponseChannel bool

	Tuning
}

// Classic returns a factory of adapters that are compatible with createAdapter of
// @socket.io/redis-adapter 8. It does no I/O; connections are made when the first
// namespace is initialized, and closed with the last one. c itself stays the
// application's. It panics if c is not of one of the types *redis.Client and
// *redis.ClusterClient.
func Classic(c goredis.UniversalClient, o ClassicOptions) adapter.Factory {
	cs := newClients(c)
	o.Key = or(o.Key, DefaultPrefix)
	return func(h adapter.Host) adapter.Adapter {
		cfg := o.config(o.RequestsTimeout)
		cfg.RoomRequests = true
		return cluster.New(h, &classic{clients: cs, o: o}, cfg)
	}
}

// classic is the driver of Classic.
//
//	socket.io#/chat#             broadcasts               PSUBSCRIBE socket.io#/chat#*
//	socket.io#/chat#room#        broadcasts to one room   the same
//	socket.io-request#/chat#     requests                 SUBSCRIBE, counts the servers
//	socket.io-response#/chat#    answers                  SUBSCRIBE
//	socket.io-response#/chat#uid#                         SUBSCRIBE
type classic struct {
	// immutable, as all that Open sets
	clients *clients
	o       ClassicOptions
	a       *cluster.Adapter
	hub     *hub
	sess    *session
	classicChannels
	own     string // response and uid
	ownHead []byte // what broadcasts of this server begin with

	in   *inbox
	done sync.WaitGroup
}

var (
	_ cluster.Driver  = (*classic)(nil)
	_ cluster.Counter = (*classic)(nil)
)

// Open implements [cluster.Driver].
func (d *classic) Open(ctx context.Context, a *cluster.Adapter) error {
	d.attach(a)
	d.in = newInbox()
	d.hub = d.clients.open()
	d.done.Go(func() { d.in.run(d.receive) })
	d.sess = d.hub.openSession(a, d.in.put)
	return d.sess.open(
		ctx,
		topic{pattern, escapeGlob(d.channel) + "*"},
		topic{plain, d.request},
		topic{plain, d.response},
		topic{plain, d.own},
	)
}

// attach sets what follows from the adapter.
func (d *classic) attach(a *cluster.Adapter) {
	d.a = a
	d.classicChannels = d.o.channels(a.Namespace())
	d.own = d.response + a.UID() + "#"
	d.ownHead = codec.AppendMsgpackString([]byte{0x93}, a.UID()) // a list of three, the first of which is the uid
}

// Close implements [cluster.Driver].
func (d *classic) Close(ctx context.Context) error {
	err := d.sess.close(ctx)
	d.in.close()
	d.done.Wait()
	return errors.Join(err, d.clients.close())
}

// Publish implements [cluster.Driver].
func (d *classic) Publish(ctx context.Context, ps []cluster.Parcel) (settled, lost int, err error) {
	return d.hub.publish(ctx, ps, false, d.request)
}

// ServerCount implements [cluster.Counter].
func (d *classic) ServerCount(ctx context.Context) (int, error) {
	return d.hub.count(ctx, d.request, false)
}

// receive handles what came from any of the channels.
func (d *classic) receive(m message) {
	var err error
	switch {
	case m.channel == d.request:
		err = d.receiveRequest([]byte(m.payload))
	case m.channel == d.response || m.channel == d.own:
		err = d.receiveResponse([]byte(m.payload))
	default:
		room, ok := strings.CutPrefix(m.channel, d.channel)
		if !ok {
			return
		}
		room, named := strings.CutSuffix(room, "#")
		if named && !d.a.Index().HasRoom(room) {
			return
		}
		err = d.receiveBroadcast([]byte(m.payload))
	}
	if err != nil {
		d.a.Malformed(m.channel, err)
	}
}
