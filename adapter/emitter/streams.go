package emitter

import (
	"context"
	"encoding/base64"
	"strconv"
	"unicode/utf16"

	"github.com/epio-go/epio/adapter/cluster"
)

// StreamsOptions are the options of [Streams].
type StreamsOptions struct {
	// StreamName is the name of the stream. Default "socket.io".
	StreamName string
	// StreamCount is over how many streams the servers spread namespaces. Default 1.
	StreamCount int
	// MaxLen is about how many entries a stream keeps. Default 10,000.
	MaxLen int64
	// OnlyPlaintext refuses to send binary.
	OnlyPlaintext bool
}

// AddFunc adds an entry to a stream of Redis:
//
//	XADD stream MAXLEN ~ maxLen * field value field value …
//
// fields belongs to it. It must be safe for concurrent use.
type AddFunc func(ctx context.Context, stream string, maxLen int64, fields []string) error

// Streams returns a driver for servers with the streams adapter: redis.Streams, or
// createAdapter of the npm package @socket.io/redis-streams-adapter from version 0.3 on.
// Clients that reconnect with connection state recovery catch up with what an emitter
// sent, too. It panics if add is nil.
//
//	socket.io  uid emitter nsp /chat type 3 data {"packet":{…},"opts":{…}}
//
// data is JSON text, or msgpack in base64 when there is binary.
func Streams(add AddFunc, o StreamsOptions) Driver {
	if add == nil {
		panic("emitter: no function to add entries with")
	}
	if o.StreamName == "" {
		o.StreamName = defaultPrefix
	}
	o.StreamCount = max(1, o.StreamCount)
	if o.MaxLen <= 0 {
		o.MaxLen = 10_000
	}
	return &streams{add, o}
}

type streams struct {
	add AddFunc
	o   StreamsOptions
}

// Encode implements [Driver].
func (d *streams) Encode(m *cluster.Message) (p cluster.Parcel, err error) {
	p.Dest = d.stream(m.Namespace)
	p.Data, p.Format, err = m.EncodeData()
	if err == nil && p.Format == cluster.Msgpack && d.o.OnlyPlaintext {
		err = cluster.ErrBinary
	}
	return p, err
}

// stream returns the stream of a namespace, by the reference's hash. That may be negative
// and lead to a stream which Node servers do not read; Go servers read it.
func (d *streams) stream(nsp string) string {
	if d.o.StreamCount == 1 {
		return d.o.StreamName
	}
	var hash int32
	for _, unit := range utf16.Encode([]rune(nsp)) {
		hash = hash*31 + int32(unit)
	}
	return d.o.StreamName + "-" + strconv.Itoa(int(hash%int32(d.o.StreamCount)))
}

// Publish implements [Driver].
func (d *streams) Publish(ctx context.Context, m *cluster.Message, p cluster.Parcel) error {
	var data string
	if p.Format == cluster.Msgpack {
		data = base64.StdEncoding.EncodeToString(p.Data)
	} else {
		data = string(p.Data)
	}
	return d.add(ctx, p.Dest, d.o.MaxLen, []string{
		"uid", m.UID, "nsp", m.Namespace, "type", strconv.Itoa(int(m.Type)), "data", data,
	})
}
