package emitter

import (
	"unicode/utf16"

	"github.com/epio-go/epio/adapter/cluster"
)

// ShardedOptions are the options of [Sharded].
type ShardedOptions struct {
	// ChannelPrefix is the prefix of the names of all channels. Default "socket.io".
	ChannelPrefix string
	// Mode is that of the servers.
	Mode SubscriptionMode
}

// SubscriptionMode says which rooms have channels of their own on the servers.
type SubscriptionMode uint8

const (
	// Dynamic is for servers in the mode "dynamic", their default: rooms whose names are
	// not 20 characters long, as ids of sockets are, have channels.
	Dynamic SubscriptionMode = iota
	// DynamicPrivate is for "dynamic-private": all rooms have.
	DynamicPrivate
	// Static is for "static": none has.
	Static
)

// Sharded returns a driver for servers with the sharded adapter: redis.Sharded, or
// createShardedAdapter of the npm package @socket.io/redis-adapter. spublish is SPUBLISH
// of Redis 7. It panics if spublish is nil.
//
// The npm package for emitters does not know this format; the servers do not mind who
// writes it.
//
//	socket.io#/chat#       everything             {"type":3,"data":{…},"uid":"emitter","nsp":"/chat"}
//	socket.io#/chat#room#  broadcasts to one room the same
func Sharded(spublish PublishFunc, o ShardedOptions) Driver {
	if spublish == nil {
		panic("emitter: no function to publish with")
	}
	if o.ChannelPrefix == "" {
		o.ChannelPrefix = defaultPrefix
	}
	return &sharded{publisher{spublish}, o}
}

type sharded struct {
	publisher
	o ShardedOptions
}

// Encode implements [Driver].
func (d *sharded) Encode(m *cluster.Message) (p cluster.Parcel, err error) {
	p.Dest = d.o.ChannelPrefix + "#" + m.Namespace + "#"
	if m.Type == cluster.Broadcast && len(m.Opts.Rooms) == 1 && d.hasChannel(m.Opts.Rooms[0]) {
		p.Dest += m.Opts.Rooms[0] + "#"
	}
	p.Data, p.Format, err = m.Encode()
	return p, err
}

func (d *sharded) hasChannel(room string) bool {
	switch d.o.Mode {
	case Dynamic:
		// The length of the name in JavaScript, in UTF-16 code units.
		n := 0
		for _, r := range room {
			n += max(1, utf16.RuneLen(r))
		}
		return n != 20
	case DynamicPrivate:
		return true
	}
	return false
}
