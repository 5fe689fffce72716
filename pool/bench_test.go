package pool

import (
	"bytes"
	"fmt"
	"testing"
)

var benchSizes = []int{64, 1 << 10, 16 << 10, 64 << 10, 1 << 20, 1<<20 + 1} // the last is not kept

func BenchmarkGet(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(fmt.Sprintf("bytes=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				buf := Get(n)
				if cap(buf.B) < n {
					b.Fatalf("room for %d bytes, want %d", cap(buf.B), n)
				}
				buf.Release()
			}
		})
	}
}

// BenchmarkGrow fills a buffer whose size was not known.
func BenchmarkGrow(b *testing.B) {
	piece := bytes.Repeat([]byte("x"), 64)
	for _, n := range benchSizes[:4] {
		b.Run(fmt.Sprintf("bytes=%d/piece=%d", n, len(piece)), func(b *testing.B) {
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				buf := Get(0)
				for len(buf.B) < n {
					buf.Grow(len(piece))
					buf.B = append(buf.B, piece...)
				}
				if len(buf.B) != n || buf.B[n-1] != 'x' {
					b.Fatalf("%d bytes, want %d", len(buf.B), n)
				}
				buf.Release()
			}
		})
	}
}

// BenchmarkFrame copies a message for a number of receivers.
func BenchmarkFrame(b *testing.B) {
	for _, n := range benchSizes[:4] {
		b.Run(fmt.Sprintf("bytes=%d/receivers=8", n), func(b *testing.B) {
			p := make([]byte, n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				f := Copy(p).Seal(0)
				if f.Len() != n {
					b.Fatalf("a frame of %d bytes, want %d", f.Len(), n)
				}
				f.Retain(8)
				f.ReleaseN(9)
			}
		})
	}
}

// All cores give references back, as the writers of a broadcast do.
func BenchmarkFrameShared(b *testing.B) {
	f := Copy([]byte("x")).Seal(0)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			f.Retain(1)
			f.Release()
		}
	})
	if refs := f.refs.Load(); refs != 1 {
		b.Errorf("%d references are left, want 1", refs)
	}
	f.Release()
}
