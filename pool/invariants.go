package pool

import "sync"

// graveyard delays reuse in test builds: a buffer that is still referenced by
// mistake shows poison instead of somebody else's message.
var graveyard struct {
	sync.Mutex
	bufs [256]*Buf
	next int
}

// poison is what released memory reads as. It is neither valid UTF-8 nor the
// start of any packet.
const poison = 0xDB

// bury overwrites b, checks that it was alive and lets the block released 256
// releases ago go back to the pool.
func (b *Buf) bury() {
	graveyard.Lock()
	defer graveyard.Unlock()
	if b.dead {
		panic("pool: buffer released twice")
	}
	b.dead = true
	live.Add(-1)
	for p, i := b.B[:cap(b.B)], 0; i < len(p); i++ {
		p[i] = poison
	}
	old := graveyard.bufs[graveyard.next]
	graveyard.bufs[graveyard.next] = b
	graveyard.next = (graveyard.next + 1) % len(graveyard.bufs)
	if old != nil {
		old.put()
	}
}
