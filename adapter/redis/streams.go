package redis

import (
	"context"
	"encoding/base64"
	"errors"
	"strconv"
	"sync"
	"time"
	"unicode/utf16"

	goredis "github.com/redis/go-redis/v9"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
)

// StreamsOptions are the options of createAdapter of @socket.io/redis-streams-adapter.
// The zero value is the reference's default.
type StreamsOptions struct {
	// StreamName is the name of the stream. Default "socket.io".
	StreamName string
	// StreamCount spreads namespaces over several streams, named StreamName-0 and so
	// on. It must be the same on all servers. Default 1, named StreamName.
	StreamCount int
	// ChannelPrefix is the prefix of the names of channels. Default "socket.io", which
	// is also that of the classic adapter: the two cannot share a Redis.
	ChannelPrefix string
	// UseShardedPubSub uses the channels of Redis 7 that a cluster does not send to all
	// its nodes. It must be the same on all servers.
	UseShardedPubSub bool
	// MaxLen is about how many entries a stream keeps, which is how far back clients can
	// catch up. Default 10,000.
	MaxLen int64
	// ReadCount is how many entries are read at once. Default 100.
	ReadCount int64
	// BlockTime is how long one command waits for entries. Default 5 s.
	BlockTime time.Duration
	// SessionKeyPrefix is the prefix of the keys of sessions. Default "sio:session:".
	SessionKeyPrefix string
	// OnlyPlaintext refuses to send binary through the stream.
	OnlyPlaintext bool
	// RequestsTimeout bounds the wait for the answers of other servers. Default 5 s.
	RequestsTimeout time.Duration

	Tuning
}

func (o *StreamsOptions) setDefaults() {
	o.StreamName = or(o.StreamName, DefaultPrefix)
	o.ChannelPrefix = or(o.ChannelPrefix, DefaultPrefix)
	o.SessionKeyPrefix = or(o.SessionKeyPrefix, "sio:session:")
	if o.StreamCount <= 0 {
		o.StreamCount = 1
	}
	if o.MaxLen <= 0 {
		o.MaxLen = 10_000
	}
	if o.ReadCount <= 0 {
		o.ReadCount = 100
	}
	if o.BlockTime <= 0 {
		o.BlockTime = 5 * time.Second
	}
}

// Streams returns a factory of adapters that are compatible with createAdapter of
// @socket.io/redis-streams-adapter 0.3. They offer connection state recovery. It does no
// I/O; connections are made when the first namespace is initialized, and closed with the
// last one. c itself stays the application's. It panics if c is not of one of the types
// *redis.Client and *redis.ClusterClient.
func Streams(c goredis.UniversalClient, o StreamsOptions) adapter.Factory {
	cs := newClients(c)
	o.setDefaults()
	return func(h adapter.Host) adapter.Adapter {
		return cluster.NewLogged(h, &streams{clients: cs, o: o}, o.config(o.RequestsTimeout))
	}
}

// streams is the driver of Streams.
//
//	stream  socket.io            broadcasts and orders
//	channel socket.io#/chat#     requests, counts the servers
//	channel socket.io#/chat#uid# answers to one server
type streams struct {
	// immutable, as all that Open sets
	clients  *clients
	o        StreamsOptions
	a        *cluster.Adapter
	hub      *hub
	sess     *session
	channel  string
	stream   string
	recovery bool
	reader   *reader

	flight []flight // owned by Publish: what was sent and was not read back yet

	in   *inbox
	done sync.WaitGroup
}

var (
	_ cluster.LogDriver = (*streams)(nil)
	_ cluster.Counter   = (*streams)(nil)
)

// EnableRecovery implements [cluster.LogDriver].
func (d *streams) EnableRecovery(adapter.RecoveryConfig) { d.recovery = true }

// Open implements [cluster.Driver].
func (d *streams) Open(ctx context.Context, a *cluster.Adapter) error {
	d.a = a
	d.channel = d.o.ChannelPrefix + "#" + a.Namespace() + "#"
	d.stream = streamOf(a.Namespace(), &d.o)
	d.in = newInbox()
	d.hub = d.clients.open()
	d.done.Go(func() { d.in.run(d.receive) })
	d.sess = d.hub.openSession(a, d.in.put)
	kind := plain
	if d.o.UseShardedPubSub {
		kind = shard
	}
	ctx, cancel := context.WithTimeout(ctx, openWait)
	defer cancel()
	d.reader = d.hub.reader(d.stream, &d.o)
	return errors.Join(
		d.reader.add(ctx, d),
		d.sess.open(ctx, topic{kind, d.channel}, topic{kind, d.channel + a.UID() + "#"}),
	)
}

// Close implements [cluster.Driver].
func (d *streams) Close(ctx context.Context) error {
	err := d.sess.close(ctx)
	d.reader.remove(d)
	d.in.close()
	d.done.Wait()
	return errors.Join(err, d.clients.close())
}

// streamOf returns the stream of a namespace: by the reference's hash, with its sign. A
// negative one leads to a stream that the reference does not read; there is nothing to be
// done about that, but Go servers read what they write.
func streamOf(nsp string, o *StreamsOptions) string {
	if o.StreamCount == 1 {
		return o.StreamName
	}
	var hash int32
	for _, unit := range utf16.Encode([]rune(nsp)) {
		hash = hash*31 + int32(unit)
	}
	return o.StreamName + "-" + strconv.Itoa(int(hash%int32(o.StreamCount)))
}

// Encode implements [cluster.Driver].
func (d *streams) Encode(m *cluster.Message) (p cluster.Parcel, err error) {
	if d.persistent(m) {
		p.Data, p.Format, err = m.EncodeData()
		if p.Format == cluster.Msgpack && d.o.OnlyPlaintext {
			return p, cluster.ErrBinary
		}
		return p, err
	}
	p.Dest, p.Format = d.channel, cluster.Msgpack
	if m.To != "" {
		p.Dest += m.To + "#"
	}
	p.Data, err = m.EncodeAs(cluster.Msgpack)
	return p, err
}

// persistent reports whether a message goes into the stream. The reference stores volatile
// packets, too, and repeats them to clients that come back.
func (d *streams) persistent(m *cluster.Message) bool {
	if m.InLog() {
		return true
	}
	return !d.recovery && m.Type == cluster.Broadcast && m.RequestID == ""
}

// flight is a batch of entries that were appended to the stream.
type flight struct {
	last string // id
	n    int64
}

// maxFlight is how long Publish waits for entries to be read, at most.
const maxFlight = time.Second

// brake waits while more than a quarter of what the stream keeps has not been read back:
// entries that are trimmed before they are read are lost, here and elsewhere.
func (d *streams) brake(ctx context.Context) {
	end := time.Now().Add(maxFlight)
	for {
		for len(d.flight) > 0 && d.reader.has(d.flight[0].last) {
			d.flight = d.flight[1:]
		}
		n := int64(0)
		for _, f := range d.flight {
			n += f.n
		}
		if n <= d.o.MaxLen/4 || time.Now().After(end) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// took notes entries that are in the stream now.
func (d *streams) took(cmds []goredis.Cmder) {
	f := flight{}
	for _, cmd := range cmds {
		if x, ok := cmd.(*goredis.StringCmd); ok && x.Err() == nil { // XADD
			f.last = x.Val()
			f.n++
		}
	}
	if f.n > 0 {
		d.flight = append(d.flight, f)
	}
}

// Publish implements [cluster.Driver]. Entries and messages go through one pipeline, in
// their order.
func (d *streams) Publish(ctx context.Context, ps []cluster.Parcel) (settled, lost int, err error) {
	d.brake(ctx)
	var rdb goredis.Cmdable = d.hub.rdb
	if !d.o.UseShardedPubSub {
		if rdb, err = d.hub.forKey(ctx, d.stream); err != nil {
			return 0, 0, err
		}
	}
	pipe := rdb.Pipeline()
	for i := range ps {
		p := &ps[i]
		switch {
		case p.Dest == "":
			m := cluster.Message{Type: p.Type, UID: d.a.UID(), Namespace: d.a.Namespace()}
			pipe.XAdd(ctx, d.o.entry(d.stream, &m, p))
		case d.o.UseShardedPubSub:
			pipe.SPublish(ctx, p.Dest, p.Data)
		default:
			pipe.Publish(ctx, p.Dest, p.Data)
		}
	}
	cmds, err := pipe.Exec(ctx)
	if len(cmds) == 0 {
		return 0, 0, err
	}
	d.took(cmds)
	return outcome(cmds)
}

func (o *StreamsOptions) entry(stream string, m *cluster.Message, p *cluster.Parcel) *goredis.XAddArgs {
	data := string(p.Data)
	if p.Format == cluster.Msgpack {
		data = base64.StdEncoding.EncodeToString(p.Data)
	}
	return &goredis.XAddArgs{
		Stream: stream,
		MaxLen: o.MaxLen,
		Approx: true,
		Values: []any{"uid", m.UID, "nsp", m.Namespace, "type", strconv.Itoa(int(p.Type)), "data", data},
	}
}

// ServerCount implements [cluster.Counter].
func (d *streams) ServerCount(ctx context.Context) (int, error) {
	return d.hub.count(ctx, d.channel, d.o.UseShardedPubSub)
}

// receive handles what came from a channel or the stream.
func (d *streams) receive(m message) {
	if m.entry != nil {
		d.receiveEntry(m.entry)
		return
	}
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

func (d *streams) receiveEntry(e *entry) {
	if e.begin {
		d.a.Log().BeginAt(e.id)
		return
	}
	if uid, _ := e.values["uid"].(string); uid == d.a.UID() && !d.recovery {
		return
	}
	m, data, err := e.decode(d.a.Namespace())
	if err != nil {
		d.a.Malformed(d.stream, err)
	}
	d.a.Log().ReceiveLogged(e.id, m, data)
}

// errEntry is an entry that is not one of ours.
var errEntry = errors.New("not an entry of this adapter")

// decode returns the message of an entry, nil if it is another namespace's, and the member
// data as it was before it became text.
func (e *entry) decode(nsp string) (*cluster.Message, []byte, error) {
	field := func(name string) string {
		s, _ := e.values[name].(string)
		return s
	}
	m := &cluster.Message{UID: field("uid"), Namespace: field("nsp")}
	if m.Namespace != nsp {
		return nil, nil, nil
	}
	typ, err := strconv.ParseUint(field("type"), 10, 8)
	if err != nil || typ == 0 || m.UID == "" {
		return nil, nil, errEntry
	}
	m.Type = cluster.Type(typ)
	text := field("data")
	data := []byte(text)
	if text != "" && text[0] != '{' {
		if data, err = base64.StdEncoding.DecodeString(text); err != nil {
			return nil, nil, errEntry
		}
	}
	if err := m.DecodeData(data); err != nil {
		return nil, nil, err
	}
	return m, data, nil
}
