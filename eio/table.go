package eio

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// table holds the sessions of a server by id. Its shards are independent, so
// that handshakes and polls of different clients rarely meet.
type table struct {
	seed   maphash.Seed
	count  atomic.Int64 // reserved places, including those taken
	open   open
	shards [32]tableShard
}

type tableShard struct {
	mu     sync.RWMutex
	m      map[string]*Session
	closed bool
	_      [64 - 48%64]byte // keeps neighbours out of each other's cache lines
}

func newTable() *table {
	t := &table{seed: maphash.MakeSeed(), open: open{ended: make(chan struct{})}}
	for i := range t.shards {
		t.shards[i].m = make(map[string]*Session)
	}
	return t
}

func (t *table) shard(id string) *tableShard {
	return &t.shards[maphash.String(t.seed, id)%uint64(len(t.shards))]
}

// reserve takes a place if there are fewer than limit (0 = no limit). The place
// is given back by cancel or by remove.
func (t *table) reserve(limit int) bool {
	if n := t.count.Add(1); limit > 0 && n > int64(limit) {
		t.count.Add(-1)
		return false
	}
	return true
}

func (t *table) cancel() { t.count.Add(-1) }

// add enters s in a reserved place. It fails when the id is taken or the table is closed.
func (t *table) add(s *Session) bool {
	sh := t.shard(s.id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.closed || sh.m[s.id] != nil {
		return false
	}
	sh.m[s.id] = s
	t.open.add(2) // until it is removed, and until the application has been told of its end
	return true
}

func (t *table) get(id string) *Session {
	sh := t.shard(id)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.m[id]
}

// remove takes s out and gives its place back.
func (t *table) remove(s *Session) {
	sh := t.shard(s.id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.m[s.id] == s {
		delete(sh.m, s.id)
		t.count.Add(-1)
		t.open.done()
	}
}

// told says that Handler.Close has returned for one of the sessions.
func (t *table) told() { t.open.done() }

// wait returns when every session that was added has ended completely. It is called after
// close.
func (t *table) wait() { t.open.wait() }

// open counts what sessions still have before them.
type open struct {
	n       atomic.Int64
	waiting atomic.Bool
	ended   chan struct{} // closed when n has become 0 while somebody waits
	once    sync.Once
}

func (o *open) add(n int64) { o.n.Add(n) }

func (o *open) done() {
	o.n.Add(-1)
	if o.waiting.Load() && o.n.Load() == 0 { // nothing is added any more
		o.end()
	}
}

func (o *open) end() { o.once.Do(func() { close(o.ended) }) }

// wait must not be called before the last add.
func (o *open) wait() {
	o.waiting.Store(true)
	if o.n.Load() == 0 {
		o.end()
	}
	<-o.ended
}

// close makes every further add fail.
func (t *table) close() {
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.Lock()
		sh.closed = true
		sh.mu.Unlock()
	}
}

// all returns the sessions present.
func (t *table) all() []*Session {
	var all []*Session
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.RLock()
		for _, s := range sh.m {
			all = append(all, s)
		}
		sh.mu.RUnlock()
	}
	return all
}
