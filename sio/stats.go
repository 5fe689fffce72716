package sio

import (
	"sync/atomic"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/eio"
)

// Stats is what a server has done since New, and what it holds now. Counters never
// decrease.
type Stats struct {
	// Engine has the connections: how many there are, how they came and went.
	Engine eio.Stats
	// Namespaces are those that exist, in no particular order.
	Namespaces []NamespaceStats
	// Busy is how many sockets run a handler now or wait for a goroutine to do so.
	Busy int

	// Connects, ConnectsRefused and Disconnects count sockets, in all namespaces.
	Connects, ConnectsRefused, Disconnects int64
	// Recovered counts the sockets that clients got back with Config.Recovery, RecoveryFailed the clients
	// that wanted theirs and did not get it.
	Recovered, RecoveryFailed int64
	// Panics counts panics of handlers, middlewares, listeners and the like, also of those that no
	// socket had run, which Hooks.Panic is not told of.
	Panics int64
	// PublishErrors counts broadcasts that an adapter could not pass to other servers.
	PublishErrors int64
	// Dropped counts packets that were dropped because a send buffer was full. Volatile
	// packets are not among them.
	Dropped int64
	// Throttled counts events over Config.Rates, whatever became of them.
	Throttled int64

	// The following count Engine.IO messages that carry Socket.IO packets, an event with
	// attachments as one sent but as several received, and bytes: with WebSocket
	// headers when sent, without when received, before compression and without heartbeats.
	// They are zero unless Config.CountTraffic is set. CONNECT and DISCONNECT are not counted as sent.
	PacketsReceived, BytesReceived int64
	PacketsSent, BytesSent         int64
}

// NamespaceStats describes a namespace on this server.
type NamespaceStats struct {
	Name    string
	Sockets int // connected
	Rooms   int // those of which sockets are members by Join

	// Away is how many clients may still come back, LoggedPackets and LoggedBytes what is kept of events for
	// them, by the measure of Config.Recovery. They are zero when another adapter than that in memory keeps it.
	Away, LoggedPackets, LoggedBytes int
}

// Stats returns a snapshot. Its cost grows with the number of namespaces, not with that
// of connections. The parts of it are not from one moment.
func (srv *Server) Stats() Stats {
	c := &srv.counts
	st := Stats{
		Engine:          srv.engine.Stats(),
		Busy:            int(srv.busy.n.Load()),
		Connects:        c.connected.Load(),
		ConnectsRefused: c.refused.Load(),
		Disconnects:     c.disconnected.Load(),
		Recovered:       c.recovered.Load(),
		RecoveryFailed:  c.unrecovered.Load(),
		Panics:          c.panics.Load(),
		PublishErrors:   c.publishErrors.Load(),
		Dropped:         c.dropped.Load(),
		Throttled:       c.throttled.Load(),
	}
	for ns := range srv.Namespaces() {
		one := NamespaceStats{Name: ns.name, Sockets: ns.index.Len(), Rooms: ns.index.RoomCount()}
		if m, ok := ns.adapter.(*adapter.Memory); ok {
			kept := m.Kept()
			one.Away, one.LoggedPackets, one.LoggedBytes = kept.Sessions, kept.Packets, kept.Bytes
		}
		st.Namespaces = append(st.Namespaces, one)
	}
	srv.traffic.add(&st)
	return st
}

// counts are of things that are rare or dear anyway.
type counts struct {
	connected, refused, disconnected atomic.Int64
	recovered, unrecovered           atomic.Int64
	panics, publishErrors            atomic.Int64
	dropped, throttled               atomic.Int64
}

// traffic counts packets, spread so that cores rarely meet. A nil one counts nothing.
type traffic struct{ shards [trafficShards]trafficShard }

const trafficShards = 16

type trafficShard struct {
	packetsIn, bytesIn, packetsOut, bytesOut atomic.Int64
	_                                        [64 - 32]byte // keeps neighbours out of each other's cache lines
}

// shard returns where a client is counted, or what belongs to no client.
func (t *traffic) shard(c *client) *trafficShard {
	if c == nil {
		return &t.shards[0]
	}
	id := c.sess.ID()
	return &t.shards[id[len(id)-1]%trafficShards] // ids are random
}

func (t *traffic) received(c *client, bytes int) {
	if t != nil {
		sh := t.shard(c)
		sh.packetsIn.Add(1)
		sh.bytesIn.Add(int64(bytes))
	}
}

func (t *traffic) sent(c *client, packets, bytes int) {
	if t != nil {
		sh := t.shard(c)
		sh.packetsOut.Add(int64(packets))
		sh.bytesOut.Add(int64(bytes))
	}
}

func (t *traffic) add(st *Stats) {
	if t == nil {
		return
	}
	for i := range t.shards {
		sh := &t.shards[i]
		st.PacketsReceived += sh.packetsIn.Load()
		st.BytesReceived += sh.bytesIn.Load()
		st.PacketsSent += sh.packetsOut.Load()
		st.BytesSent += sh.bytesOut.Load()
	}
}
