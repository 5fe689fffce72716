package pool

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"
	"unsafe"

	"github.com/epio-go/epio/internal/invariants"
)

func TestGetHasRoom(t *testing.T) {
	for _, n := range []int{0, 1, 63, 64, 65, 128, 129, 4096, 1 << 20, 1<<20 + 1} {
		b := Get(n)
		if len(b.B) != 0 || cap(b.B) < n {
			t.Errorf("Get(%d): len %d cap %d", n, len(b.B), cap(b.B))
		}
		b.Release()
	}
}

func TestClassFor(t *testing.T) {
	for _, c := range []struct{ n, want int }{
		{0, 0}, {64, 0}, {65, 1}, {128, 1}, {129, 2}, {1 << 20, classes - 1}, {1<<20 + 1, classes},
	} {
		if got := classFor(c.n); got != c.want {
			t.Errorf("classFor(%d) = %d, want %d", c.n, got, c.want)
		}
	}
}

func TestGrowKeepsContent(t *testing.T) {
	b := Get(1)
	var want []byte
	for i := range 5000 {
		b.Grow(1)
		b.B = append(b.B, byte(i))
		want = append(want, byte(i))
	}
	if !bytes.Equal(b.B, want) {
		t.Error("content changed while growing")
	}
	b.Release()
}

func TestFrameSharedByMany(t *testing.T) {
	before := Live()
	b := Copy([]byte("..hello"))
	f := b.Seal(2)
	const n = 100
	f.Retain(n)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if string(f.Bytes()) != "hello" || f.Len() != 5 {
				t.Errorf("frame reads %q", f.Bytes())
			}
			f.Release()
		})
	}
	wg.Wait()
	f.Release()
	if Live() != before {
		t.Errorf("%d blocks still out", Live()-before)
	}
}

func TestStaticFrameIgnoresCounting(t *testing.T) {
	f := Static([]byte{1, 2, 3})
	f.ReleaseN(5)
	f.Retain(2)
	if !bytes.Equal(f.Bytes(), []byte{1, 2, 3}) {
		t.Error("static frame changed")
	}
}

func TestOverReleasePanics(t *testing.T) {
	f := Copy([]byte("x")).Seal(0)
	f.Retain(1)
	defer func() {
		if recover() == nil {
			t.Error("three releases of two references went unnoticed")
		}
		f.refs.Store(1)
		f.Release()
	}()
	f.ReleaseN(3)
}

func TestSealOutsidePanics(t *testing.T) {
	b := Copy([]byte("x"))
	defer b.Release()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	b.Seal(2)
}

// TestReleasedMemoryIsPoisoned shows that a slice kept beyond Release is caught
// in test builds, and that a second Release is.
func TestReleasedMemoryIsPoisoned(t *testing.T) {
	if !invariants.Enabled {
		t.Skip("poisoning exists in race and invariants builds only")
	}
	b := Copy([]byte("secret"))
	alias := b.B
	b.Release()
	if string(alias) == "secret" || alias[0] != poison {
		t.Errorf("released memory still reads %q", alias)
	}
	defer func() {
		if recover() == nil {
			t.Error("double release went unnoticed")
		}
	}()
	b.Release()
}

func TestLargeBuffersAreNotKept(t *testing.T) {
	b := Get(maxSize + 1)
	p := &b.B[:1][0]
	b.Release()
	for range 600 { // beyond the graveyard of test builds
		c := Get(maxSize)
		if &c.B[:1][0] == p {
			t.Fatal("a buffer beyond the largest class came back")
		}
		c.B = c.B[:0]
		c.put()
		if invariants.Enabled {
			live.Add(-1)
		}
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	if invariants.Enabled {
		t.Skip("test builds keep released buffers back")
	}
	if n := testing.AllocsPerRun(1000, func() {
		f := Copy([]byte("payload")).Seal(0)
		f.Retain(3)
		f.ReleaseN(4)
	}); n > 0 {
		t.Errorf("%v allocations per frame", n)
	}
}

func TestNotify(t *testing.T) {
	var log []string
	f := Copy([]byte("a")).Seal(0)
	f.SetNotify(func(sent bool) { log = append(log, fmt.Sprint("a ", sent)) })
	f.Retain(1)
	f.ReleaseSent()
	if len(log) != 0 {
		t.Error("told though somebody holds the frame")
	}
	f.Release()
	g := Copy([]byte("b")).Seal(0)
	g.SetNotify(func(sent bool) { log = append(log, fmt.Sprint("b ", sent)) })
	h := Copy([]byte("c")).Seal(0)
	g.MoveNotify(h)
	g.ReleaseSent()
	h.Release()
	var next []*Frame // whoever gets the memory next inherits nothing
	for range 8 {
		next = append(next, Get(1).Seal(0))
	}
	for _, f := range next {
		f.ReleaseSent()
	}
	if want := []string{"a true", "b false"}; !slices.Equal(log, want) {
		t.Errorf("got %q, want %q", log, want)
	}
	if s := unsafe.Sizeof(Buf{}); s > 48 {
		t.Errorf("a buffer's header has %d bytes, more than its size class of 48", s)
	}
}

func TestPack(t *testing.T) {
	before := Live()
	frame := func(n int) *Frame {
		b := Get(n)
		b.B = append(b.B, bytes.Repeat([]byte{byte(n)}, n)...)
		return b.Seal(0)
	}
	pack := func(last, f *Frame, taken bool) *Frame {
		t.Helper()
		want := append(bytes.Clone(last.Bytes()), f.Bytes()...)
		p := Pack(last, f)
		if taken != (p == nil) {
			t.Fatalf("packed %v, want %v", p == nil, taken)
		}
		if p == nil && !bytes.Equal(last.Bytes(), want) {
			t.Fatal("other content")
		}
		return p
	}
	first := frame(3)
	p := pack(first, frame(5), false)
	seen := p.Bytes()
	n := 1
	for ; p.Len()+7 <= packSize; n++ {
		pack(p, frame(7), true)
	}
	if p.Count() != n || first.Count() != 1 || !bytes.Equal(seen, []byte{5, 5, 5, 5, 5}) {
		t.Errorf("%d frames, want %d; the first is %q", p.Count(), n, seen)
	}
	second := pack(p, frame(8), false) // does not fit
	pack(second, frame(packSmall), true)
	large := pack(second, frame(packSmall+1), false)
	if large.Count() != 1 || large.packed != 0 {
		t.Error("a large frame was copied")
	}
	alone := frame(1)
	if pack(large, alone, false) != alone {
		t.Error("a small frame among large ones was copied")
	}

	// What is told of stays by itself; so does what is dropped or compressed otherwise, among its like it does not.
	notified := frame(1)
	notified.SetNotify(func(bool) {})
	marked := []*Frame{notified}
	if pack(second, notified, false) != notified {
		t.Error("a frame with SetNotify was copied")
	}
	for _, mark := range []func(*Frame){(*Frame).SetDroppable, (*Frame).SetNoCompress} {
		one, two, three := frame(1), frame(1), frame(1)
		mark(one)
		mark(two)
		mark(three)
		if pack(second, one, false) != one {
			t.Error("a frame with a mark was copied among those without")
		}
		p := pack(one, two, false)
		pack(p, three, true)
		if p.Droppable() != one.Droppable() || p.NoCompress() != one.NoCompress() {
			t.Error("the mark is lost")
		}
		plain := frame(1)
		if pack(p, plain, false) != plain {
			t.Error("a frame without a mark was copied among those with one")
		}
		marked = append(marked, one, p, plain)
	}
	shared := frame(2)
	shared.Retain(1)
	pack(second, shared, true)
	if !bytes.Equal(shared.Bytes(), []byte{2, 2}) {
		t.Error("a shared frame is gone")
	}
	for _, f := range append(marked, first, p, second, large, alone, shared) {
		f.Release()
	}
	if n := Live() - before; n != 0 {
		t.Errorf("%d frames not released", n)
	}
}
