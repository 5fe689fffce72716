package adapter

import (
	"hash/maphash"
	"log/slog"
	"math/bits"
	"runtime"
	"sync/atomic"
)

// maxShards bounds the number of shards so that a set of them is one word.
const maxShards = 64

// defaultStripes is the number of name tables of an index. An empty one takes 16
// bytes.
const defaultStripes = 256

// Config sizes an [Index]. The zero value is right for all but namespaces that
// exist in thousands.
type Config struct {
	// Shards is how many independent parts the members are spread over, rounded
	// up to a power of two, at most 64. More shards mean less waiting between
	// joins and broadcasts on many cores, and more locks per broadcast. 0 means
	// 4 × GOMAXPROCS.
	Shards int
	// Stripes is how many independently locked tables the names are spread
	// over, rounded up to a power of two, at most 65536. 0 means 256.
	Stripes int
	// Logger receives the panics of functions given to [Index.Observe]. Without it such a
	// panic goes on to whoever changed the rooms.
	Logger *slog.Logger
}

// Index holds the sockets of one namespace on this server and the rooms they are
// in. All methods are safe for concurrent use; methods on the same [Member] as
// well.
//
// Lock order: a shard's lock, then one stripe's, then the event queue's. No
// method holds two shards or two stripes at once, and user code (room hooks,
// Disconnect, Info, iterator bodies) runs with none of them held.
type Index struct {
	// immutable
	seed    maphash.Seed
	shards  []shard
	stripes []stripe

	// atomic
	nextShard atomic.Uint32
	rooms     atomic.Int64 // that exist, see RoomCount
	maxRooms  atomic.Int64 // 0: no limit

	events eventQueue
}

// NewIndex returns an empty index.
func NewIndex(c Config) *Index {
	shards, stripes := c.Shards, c.Stripes
	if shards <= 0 {
		shards = 4 * runtime.GOMAXPROCS(0)
	}
	if stripes <= 0 {
		stripes = defaultStripes
	}
	return &Index{
		events:  eventQueue{log: c.Logger},
		seed:    maphash.MakeSeed(),
		shards:  make([]shard, ceilPow2(min(shards, maxShards))),
		stripes: make([]stripe, ceilPow2(min(stripes, 1<<16))),
	}
}

// ceilPow2 returns the smallest power of two that is not below n ≥ 1.
func ceilPow2(n int) int { return 1 << bits.Len(uint(n-1)) }

// Len returns the number of connected sockets. While sockets come and go it is a
// value from somewhere in that time.
func (x *Index) Len() int {
	n := 0
	for i := range x.shards {
		n += int(x.shards[i].connected.Load())
	}
	return n
}

// Lookup returns the connected socket with this id on this server, or nil.
func (x *Index) Lookup(id string) Receiver {
	st := x.stripe(id)
	st.mu.Lock()
	m := st.names[id].owner
	st.mu.Unlock()
	if m == nil {
		return nil
	}
	s := &x.shards[m.shard]
	s.mu.Lock()
	connected := m.state == stateConnected
	s.mu.Unlock()
	if !connected || !m.recv.Connected() {
		return nil
	}
	return m.recv
}
