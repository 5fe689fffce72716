package redis

import (
	"context"
	"fmt"

	goredis "github.com/redis/go-redis/v9"

	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/adapter/emitter"
)

// NewClassicEmitter returns an emitter for servers with [Classic] and the same options, or
// createAdapter of @socket.io/redis-adapter. It is compatible with @socket.io/redis-emitter
// 5. Of the options, Key is used.
//
// Emitters work with c itself, which must outlive them. They do not try a command again
// that may have been carried out, whatever c's options say, since clients would get the
// packet twice. Their contexts bound commands if c's option ContextTimeoutEnabled is set.
// It panics if c is not of one of the types *redis.Client and *redis.ClusterClient.
func NewClassicEmitter(c goredis.UniversalClient, o ClassicOptions) *emitter.Emitter {
	key := or(o.Key, DefaultPrefix)
	s := newSender(c)
	return emitter.New(&classicSender{emitter.Classic(s.publish, emitter.ClassicOptions{Key: key}), s, key})
}

// classicSender sends everything of a namespace to one node of a cluster, which keeps the
// order: the one that servers send to, too.
type classicSender struct {
	emitter.Driver // encodes
	*sender
	key string
}

// Publish implements [emitter.Driver].
func (d *classicSender) Publish(ctx context.Context, m *cluster.Message, p cluster.Parcel) error {
	cc, ok := d.c.(*goredis.ClusterClient)
	if !ok {
		return d.Driver.Publish(ctx, m, p)
	}
	node, err := cc.MasterForKey(ctx, d.key+"-request#"+m.Namespace+"#")
	if err != nil {
		return err
	}
	return (&sender{node}).publish(ctx, p.Dest, p.Data)
}

// NewShardedEmitter returns an emitter for servers with [Sharded] and the same options, or
// createShardedAdapter of @socket.io/redis-adapter. Of the options, ChannelPrefix and
// SubscriptionMode are used. It panics as Sharded does; for c, see [NewClassicEmitter].
func NewShardedEmitter(c goredis.UniversalClient, o ShardedOptions) *emitter.Emitter {
	e := emitter.ShardedOptions{ChannelPrefix: o.ChannelPrefix}
	switch o.SubscriptionMode {
	case "", Dynamic:
	case DynamicPrivate:
		e.Mode = emitter.DynamicPrivate
	case Static:
		e.Mode = emitter.Static
	default:
		panic("adapter/redis: no subscription mode " + string(o.SubscriptionMode))
	}
	return emitter.New(emitter.Sharded(newSender(c).spublish, e))
}

// NewStreamsEmitter returns an emitter for servers with [Streams] and the same options, or
// createAdapter of @socket.io/redis-streams-adapter 0.3. Of the options, StreamName,
// StreamCount, MaxLen and OnlyPlaintext are used. For c, see [NewClassicEmitter].
func NewStreamsEmitter(c goredis.UniversalClient, o StreamsOptions) *emitter.Emitter {
	return emitter.New(emitter.Streams(newSender(c).add, emitter.StreamsOptions{
		StreamName: o.StreamName, StreamCount: o.StreamCount, MaxLen: o.MaxLen, OnlyPlaintext: o.OnlyPlaintext,
	}))
}

// sender sends commands for emitters.
type sender struct{ c goredis.UniversalClient }

func newSender(c goredis.UniversalClient) *sender {
	switch c.(type) {
	case *goredis.Client, *goredis.ClusterClient:
		return &sender{c}
	}
	panic(fmt.Sprintf("adapter/redis: client must be a *redis.Client or a *redis.ClusterClient, not a %T", c))
}

// once is a command that is not tried again after it was sent.
type once struct{ *goredis.Cmd }

func newOnce(ctx context.Context, args ...any) once { return once{goredis.NewCmd(ctx, args...)} }

// NoRetry implements [goredis.Cmder].
func (once) NoRetry() bool { return true }

func (s *sender) publish(ctx context.Context, channel string, data []byte) error {
	return s.c.Process(ctx, newOnce(ctx, "publish", channel, data))
}

func (s *sender) spublish(ctx context.Context, channel string, data []byte) error {
	return s.c.Process(ctx, newOnce(ctx, "spublish", channel, data))
}

func (s *sender) add(ctx context.Context, stream string, maxLen int64, fields []string) error {
	args := append(make([]any, 0, 6+len(fields)), "xadd", stream, "maxlen", "~", maxLen, "*")
	for _, f := range fields {
		args = append(args, f)
	}
	return s.c.Process(ctx, newOnce(ctx, args...))
}
