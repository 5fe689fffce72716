package emitter

import (
	"context"
	"errors"
	"strconv"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
)

// defaultPrefix is what names of channels, and the stream's, begin with.
const defaultPrefix = "socket.io"

// ClassicOptions are the options of [Classic].
type ClassicOptions struct {
	// Key is the prefix of the names of all channels. Default "socket.io".
	Key string
}

// Classic returns a driver for servers with the classic adapter: redis.Classic, or
// createAdapter of the npm package @socket.io/redis-adapter. publish is PUBLISH. It panics
// if publish is nil.
//
// Messages are those of @socket.io/redis-emitter 5, to the byte. Only events for servers
// differ, if they hold binary, which that package turns into JSON of its digits.
//
//	socket.io#/chat#          broadcasts  ["emitter",{"type":2,"data":["hi"],"nsp":"/chat"},{"rooms":[],"flags":{},"except":[]}]
//	socket.io#/chat#room#     broadcasts to one room
//	socket.io-request#/chat#  the rest    {"type":2,"opts":{"rooms":["a"],"except":[]},"rooms":["b"]}
//
// Source: index.ts of
// https://github.com/socketio/socket.io/tree/main/packages/socket.io-redis-emitter.
func Classic(publish PublishFunc, o ClassicOptions) Driver {
	if publish == nil {
		panic("emitter: no function to publish with")
	}
	if o.Key == "" {
		o.Key = defaultPrefix
	}
	return &classic{publisher{publish}, o.Key}
}

// publisher is the half of a driver that publishes.
type publisher struct{ publish PublishFunc }

func (d publisher) Publish(ctx context.Context, _ *cluster.Message, p cluster.Parcel) error {
	return d.publish(ctx, p.Dest, p.Data)
}

type classic struct {
	publisher
	key string
}

// Numbers of the reference's classic requests.
const (
	reqJoin           = 2
	reqLeave          = 3
	reqDisconnect     = 4
	reqServerSideEmit = 6
)

// Encode implements [Driver].
func (d *classic) Encode(m *cluster.Message) (p cluster.Parcel, err error) {
	if m.Type == cluster.Broadcast {
		p.Dest = d.key + "#" + m.Namespace + "#"
		if len(m.Opts.Rooms) == 1 {
			p.Dest += m.Opts.Rooms[0] + "#"
		}
		p.Format = cluster.Msgpack
		p.Data, err = broadcast(m)
		return p, err
	}
	p.Dest = d.key + "-request#" + m.Namespace + "#"
	p.Data, err = request(m, cluster.JSON)
	if errors.Is(err, cluster.ErrBinary) {
		p.Format = cluster.Msgpack
		p.Data, err = request(m, cluster.Msgpack)
	}
	return p, err
}

func broadcast(m *cluster.Message) ([]byte, error) {
	w := cluster.NewWriter(cluster.Msgpack)
	w.List(3)
	w.String(m.UID)
	w.Packet(m.Event, m.Args, m.Namespace)
	w.Object(3)
	w.Key("rooms")
	w.Strings(m.Opts.Rooms)
	w.Key("flags")
	flags(w, m.Opts.Flags)
	w.Key("except")
	w.Strings(m.Opts.Except)
	w.EndObject()
	w.EndList()
	return w.Bytes()
}

func flags(w *cluster.Writer, f adapter.Flags) {
	n := 0
	if f.Has(adapter.Volatile) {
		n++
	}
	if f.Has(adapter.NoCompress) {
		n++
	}
	w.Object(n)
	if f.Has(adapter.Volatile) {
		w.Key("volatile")
		w.Bool(true)
	}
	if f.Has(adapter.NoCompress) {
		w.Key("compress")
		w.Bool(false)
	}
	w.EndObject()
}

// request writes what is not a broadcast.
func request(m *cluster.Message, f cluster.Format) ([]byte, error) {
	w := cluster.NewWriter(f)
	w.Object(3)
	switch m.Type {
	case cluster.SocketsJoin, cluster.SocketsLeave:
		typ := int64(reqJoin)
		if m.Type == cluster.SocketsLeave {
			typ = reqLeave
		}
		w.Key("type")
		w.Int(typ)
		w.Key("opts")
		w.Opts(&m.Opts, false)
		w.Key("rooms")
		w.Strings(m.Rooms)
	case cluster.DisconnectSockets:
		w.Key("type")
		w.Int(reqDisconnect)
		w.Key("opts")
		w.Opts(&m.Opts, false)
		w.Key("close")
		w.Bool(m.Close)
	case cluster.ServerSideEmit:
		w.Key("uid")
		w.String(m.UID)
		w.Key("type")
		w.Int(reqServerSideEmit)
		w.Key("data")
		w.Event(m.Event, m.Args)
	default:
		return nil, errors.New("no request for messages of type " + strconv.Itoa(int(m.Type)))
	}
	w.EndObject()
	return w.Bytes()
}
