package pool

import (
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/epio-go/epio/internal/invariants"
)

// Size classes are powers of two from minSize to maxSize bytes. Larger requests
// are served by the allocator and not kept: one big message must not stay
// resident for ever.
const (
	minShift = 6  // 64 B
	maxShift = 20 // 1 MiB
	minSize  = 1 << minShift
	maxSize  = 1 << maxShift
	classes  = maxShift - minShift + 1
)

var pools [classes]sync.Pool

// live counts the blocks handed out and not yet returned; test builds only.
var live atomic.Int64

// Buf is an exclusively owned buffer. The owner appends to B freely; if append
// moves B to a larger array, the new array is what returns to the pool.
//
// A Buf is not safe for concurrent use.
type Buf struct {
	// B is the content. Get returns it with length 0.
	B []byte

	refs   atomic.Int32 // of the Frame made by Seal
	off    int32        // first byte of the Frame in B
	static bool         // never pooled, never counted
	asIs   bool         // of the Frame, see SetNoCompress
	loose  bool         // of the Frame, see SetDroppable
	sent   bool         // of the Frame, see ReleaseSent
	dead   bool         // test builds: released
	packed int16        // of the Frame: how many Pack has put into it, 0 if it was not made there

	notify func(sent bool) // of the Frame, see SetNotify; usually nil
}

// Frame is an immutable run of bytes shared by reference counting, usually one
// or several complete WebSocket frames, header included.
//
// All methods are safe for concurrent use as long as the caller holds a
// reference.
type Frame Buf

// classFor returns the smallest class that holds n bytes, or classes when none does.
func classFor(n int) int {
	if n <= minSize {
		return 0
	}
	return min(bits.Len(uint(n-1))-minShift, classes)
}

// Get returns a buffer with len(B) == 0 and room for at least n bytes.
func Get(n int) *Buf {
	c := classFor(n)
	if invariants.Enabled {
		live.Add(1)
	}
	if c == classes {
		return &Buf{B: make([]byte, 0, n)}
	}
	if v := pools[c].Get(); v != nil {
		b := v.(*Buf)
		b.dead = false
		return b
	}
	return &Buf{B: make([]byte, 0, minSize<<c)}
}

// Copy returns a buffer that holds a copy of p.
func Copy(p []byte) *Buf {
	b := Get(len(p))
	b.B = append(b.B, p...)
	return b
}

// Grow makes room for n more bytes, moving the content to a larger class when
// it has to.
func (b *Buf) Grow(n int) {
	need := len(b.B) + n
	if need <= cap(b.B) {
		return
	}
	// At least double, so that a message that arrives in many small pieces is
	// copied a logarithmic number of times.
	next := Get(max(need, 2*cap(b.B)))
	next.B = append(next.B, b.B...)
	b.B, next.B = next.B, b.B
	next.Release()
}

// Release returns the memory. The Buf and every slice of it are invalid
// afterwards.
func (b *Buf) Release() {
	if invariants.Enabled {
		b.bury()
		return
	}
	b.put()
}

// Seal freezes the buffer and returns it as a frame that starts at byte off and
// has one reference, the caller's. The Buf must not be used afterwards.
func (b *Buf) Seal(off int) *Frame {
	if off < 0 || off > len(b.B) {
		panic(fmt.Sprintf("pool: seal at %d of %d bytes", off, len(b.B)))
	}
	b.off = int32(off)
	b.asIs, b.loose, b.packed = false, false, 0
	b.refs.Store(1)
	return (*Frame)(b)
}

func (b *Buf) put() {
	c := bits.Len(uint(cap(b.B))) - 1 - minShift // the class this array can fully serve
	if c < 0 || c >= classes || cap(b.B) > maxSize {
		return
	}
	b.B = b.B[:0]
	pools[c].Put(b)
}

// Static returns a frame over b that is never pooled and needs no release. It is
// meant for constants, such as the ping frame.
func Static(b []byte) *Frame {
	return (*Frame)(&Buf{B: b, static: true})
}

// Bytes returns the content. It is shared: read only, valid while the caller
// holds a reference.
func (f *Frame) Bytes() []byte { return f.B[f.off:] }

// Len returns the number of bytes.
func (f *Frame) Len() int { return len(f.B) - int(f.off) }

// SetNoCompress marks the frame as one that transports shall send as it is. The
// caller must hold the only reference, and the frame must not be static.
func (f *Frame) SetNoCompress() { f.asIs = true }

// NoCompress reports whether SetNoCompress was called.
func (f *Frame) NoCompress() bool { return f.asIs }

// SetDroppable marks the frame as one that a full send queue may drop in favour of
// newer ones, as long as no byte of it has been written: small ones together with the few around them, see Pack. The
// caller must hold the only reference, and the frame must not be static.
func (f *Frame) SetDroppable() { f.loose = true }

// Droppable reports whether SetDroppable was called.
func (f *Frame) Droppable() bool { return f.loose }

// Inherit marks f as other is marked: what takes the place of a frame is treated
// like it. The duties are those of SetNoCompress.
func (f *Frame) Inherit(other *Frame) { f.asIs, f.loose = other.asIs, other.loose }

// Frames of up to packSmall bytes are put together into frames of packSize.
const (
	packSmall = 128
	packSize  = 512
)

// Pack is for queues with many frames, one of which alone takes more than 100 bytes of memory however short
// it is: what a peer that does not read is sent would take a multiple of its size. f is to stand behind last, which
// only the queue holds. If both are small, of the same marks, and f is without SetNotify, f may be copied: Pack returns nil when
// its bytes are part of last now, and otherwise the frame to put behind last. It takes f.
//
// Droppable frames that were put together are dropped together. What Bytes of last has returned before stays valid.
func Pack(last, f *Frame) *Frame {
	if f.Len() > packSmall || f.notify != nil || last.asIs != f.asIs || last.loose != f.loose {
		return f
	}
	if last.packed > 0 && len(last.B)+f.Len() <= cap(last.B) {
		last.B = append(last.B, f.Bytes()...)
		last.packed++
		f.Release()
		return nil
	}
	if last.packed == 0 && last.Len() > packSmall {
		return f // alone among large ones
	}
	b := Get(packSize)
	b.B = append(b.B, f.Bytes()...)
	p := b.Seal(0)
	p.Inherit(f)
	p.packed = 1
	f.Release()
	return p
}

// Count returns how many frames f stands for: 1, or those that Pack has put into it.
func (f *Frame) Count() int { return max(int(f.packed), 1) }

// SetNotify has fn called when the last reference to the frame is given back, with true
// if a transport has called ReleaseSent by then. The caller must hold the only reference, and
// the frame must not be static. Only one receiver can have such a frame.
//
// fn runs wherever that happens, usually under the lock of a connection: it must not block,
// call anything that takes locks of the caller, or run user code.
func (f *Frame) SetNotify(fn func(sent bool)) { f.notify = fn }

// MoveNotify hands what SetNotify has set over to a frame that takes f's place.
func (f *Frame) MoveNotify(to *Frame) {
	if f.notify != nil {
		to.notify, f.notify = f.notify, nil
	}
}

// Retain adds n references. The caller must hold one already.
func (f *Frame) Retain(n int) {
	if f.static || n == 0 {
		return
	}
	if got := f.refs.Add(int32(n)); invariants.Enabled && int(got) <= n {
		panic("pool: frame retained after its last release")
	}
}

// Release gives one reference back. The last one returns the memory.
func (f *Frame) Release() { f.ReleaseN(1) }

// ReleaseN gives n references back at once.
func (f *Frame) ReleaseN(n int) {
	if f.static || n == 0 {
		return
	}
	left := f.refs.Add(int32(-n))
	if left > 0 {
		return
	}
	if left < 0 {
		panic("pool: frame released more often than retained")
	}
	if f.notify == nil {
		(*Buf)(f).Release()
		return
	}
	fn, sent := f.notify, f.sent
	f.notify, f.sent = nil, false
	(*Buf)(f).Release()
	fn(sent)
}

// ReleaseSent is Release by a transport that has passed the whole frame on.
func (f *Frame) ReleaseSent() {
	if f.notify != nil {
		f.sent = true
	}
	f.Release()
}

// Live returns the number of buffers and frames that are handed out. It is
// meant for leak tests and always 0 in builds without invariants.
func Live() int { return int(live.Load()) }
