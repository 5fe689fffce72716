package codec

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/gobwas/ws"
	"github.com/klauspost/compress/flate"

	"github.com/epio-go/epio/pool"
)

// FormDeflated is added to another [Form] when the connection takes compressed
// messages, see [NewDeflatedFrame]. The functions that take a Form want it without.
const FormDeflated = FormV3Base64 + 1

// Forms is the number of forms: each with and without FormDeflated, and FormWebTransport.
const Forms = int(FormWebTransport) + 1

// rsv1 in the first byte of a frame tells that its message is compressed.
const rsv1 ws.OpCode = 0x40

// deflateTail is what the end of every compressed message is and what the sender
// leaves off: an empty block.
//
// Source: RFC 7692 section 7.2.1.
const deflateTail = "\x00\x00\xff\xff"

// inflateTail is what a receiver puts back, and another empty block that is marked as
// the last one, so that the end can be told from a message that is cut short.
const inflateTail = deflateTail + "\x01\x00\x00\xff\xff"

// deflater is what one goroutine needs to compress a message: about 750 KB. It keeps
// nothing from one message for the next ("no context takeover"), so all connections
// share as many as are in use at a time.
type deflater struct {
	w   *flate.Writer
	out *pool.Buf // while in use
}

var deflaters = sync.Pool{New: func() any {
	d := new(deflater)
	w, err := flate.NewWriter(d, flate.DefaultCompression)
	if err != nil {
		panic(err) // the level is a constant
	}
	d.w = w
	return d
}}

// Write implements io.Writer for w.
func (d *deflater) Write(p []byte) (int, error) {
	d.out.Grow(len(p))
	d.out.B = append(d.out.B, p...)
	return len(p), nil
}

// deflate returns data as the payload of a compressed message. The caller releases it.
func (d *deflater) deflate(data []byte) *pool.Buf {
	out := pool.Get(len(data))
	d.out = out
	d.w.Reset(d)
	if _, err := d.w.Write(data); err != nil {
		panic(err) // Write above does not fail
	}
	if err := d.w.Flush(); err != nil {
		panic(err)
	}
	d.out = nil
	out.B = bytes.TrimSuffix(out.B, []byte(deflateTail))
	return out
}

// NewDeflatedFrame returns the content of a frame with every message in it compressed
// that has at least threshold bytes and becomes smaller. It returns nil when there is
// none. The caller owns the one reference.
//
// The result is for the wire alone: no other function of this package takes it. It can
// be sent to every peer that negotiated permessage-deflate with a window of 32 KiB,
// whatever was sent to it before.
//
//	c1 07 f2 48 cd c9 c9 07 00    text, "Hello"
//
// Source: RFC 7692 sections 6 and 7.2.
func NewDeflatedFrame(frame []byte, threshold int) *pool.Frame {
	if len(frame) < threshold {
		return nil
	}
	d := deflaters.Get().(*deflater)
	defer deflaters.Put(d)
	b := pool.Get(len(frame))
	smaller := false
	for len(frame) > 0 {
		data, isBinary, rest := NextPart(frame)
		part := frame[:len(frame)-len(rest)]
		frame = rest
		if len(data) < threshold {
			b.B = append(b.B, part...)
			continue
		}
		z := d.deflate(data)
		if len(z.B) < len(data) {
			op := ws.OpText
			if isBinary {
				op = ws.OpBinary
			}
			b.B = append(AppendWSHeader(b.B, op|rsv1, len(z.B)), z.B...)
			smaller = true
		} else {
			b.B = append(b.B, part...)
		}
		z.Release()
	}
	if !smaller {
		b.Release()
		return nil
	}
	return b.Seal(0)
}

// MaxDeflated returns the greatest size of the compressed form of a message of n
// bytes. A sender that exceeds it means no good: what does not become smaller by
// compression is stored, with a few bytes for every block.
func MaxDeflated(n int) int { return n + n/16 + 64 }

// inflater is what one goroutine needs to decompress a message: about 40 KB.
type inflater struct {
	src bytes.Reader
	r   io.ReadCloser // also a flate.Resetter
}

var inflaters = sync.Pool{New: func() any {
	z := new(inflater)
	z.r = flate.NewReader(&z.src)
	return z
}}

// maxFinalBlocks bounds the blocks of a message that are marked as the last one of a
// stream. Senders make none or one, exceptionally one for each piece. Going on after one
// costs a microsecond, and it may be as small as two bytes.
const maxFinalBlocks = 64

// inflateWindow is how far back compressed data may refer.
const inflateWindow = 32 << 10

// Inflate decompresses the payload of a compressed message, of all its fragments
// together. It borrows data. The caller releases the result.
//
// The error is ErrInflatedSize when the message has more than limit bytes, and no more
// than limit+1 are made; otherwise it matches ErrInflate. The time is bounded by the
// sizes: a byte of data costs 0.2 microseconds at worst, in a message made of
// block headers.
//
// Source: RFC 7692 section 7.2.2.
func Inflate(data []byte, limit int) (*pool.Buf, error) {
	if len(data) == 0 {
		// Should be one zero byte, but is accepted by the reference.
		return pool.Get(0), nil
	}
	src := pool.Get(len(data) + len(inflateTail))
	defer src.Release()
	src.B = append(append(src.B, data...), inflateTail...)
	z := inflaters.Get().(*inflater)
	defer inflaters.Put(z)
	z.src.Reset(src.B)
	defer z.src.Reset(nil)

	out := pool.Get(min(4*len(data), limit+1))
	for range maxFinalBlocks {
		window := out.B[max(0, len(out.B)-inflateWindow):]
		err := z.r.(flate.Resetter).Reset(&z.src, window)
		if err == nil {
			out, err = z.read(out, limit)
		}
		if err != nil {
			out.Release()
			return nil, err
		}
		if z.src.Len() == 0 {
			return out, nil
		}
	}
	out.Release()
	return nil, fmt.Errorf("%w: too many final blocks", ErrInflate)
}

// read appends what is left of a stream to out, which it takes, and returns what takes
// its place.
func (z *inflater) read(out *pool.Buf, limit int) (*pool.Buf, error) {
	for {
		if len(out.B) == cap(out.B) {
			more := pool.Get(min(2*cap(out.B), limit+1))
			more.B = append(more.B, out.B...)
			out.Release()
			out = more
		}
		n, err := z.r.Read(out.B[len(out.B):min(cap(out.B), limit+1)])
		out.B = out.B[:len(out.B)+n]
		switch {
		case len(out.B) > limit:
			return out, ErrInflatedSize
		case err == io.EOF:
			return out, nil
		case err != nil:
			return out, fmt.Errorf("%w: %w", ErrInflate, err)
		}
	}
}
