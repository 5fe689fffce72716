package eio

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/internal/alloctest"
	"github.com/epio-go/epio/internal/coding"
	"github.com/epio-go/epio/internal/invariants"
	"github.com/epio-go/epio/pool"
)

// streamed returns frames as newPayload would stream them, whatever their size.
func streamed(frames ...*pool.Frame) payload {
	p := payload{frames: []*pool.Frame{}, size: -1}
	for _, f := range frames {
		p.add(f)
	}
	return p
}

// grit returns n bytes of text that become half as many.
func grit(n int) string {
	b := make([]byte, n/2)
	rand.NewChaCha8([32]byte{}).Read(b)
	return hex.EncodeToString(b)
}

// A streamed payload is byte for byte what it is in one piece, wherever the pieces end.
func TestStreamedPayload(t *testing.T) {
	live := pool.Live()
	noise := make([]byte, 3*pieceSize)
	rand.NewChaCha8([32]byte{}).Read(noise)
	text := func(n int) *pool.Frame { return codec.NewTextFrame(codec.Message, strings.Repeat("t", n)) }
	binary := func(n int) *pool.Frame { return codec.NewBinaryFrame(noise[:n]) }
	cases := [][]*pool.Frame{{text(0)}, {binary(0)}, {codec.CloseFrame}, {text(1), binary(1), codec.CloseFrame}}
	for _, n := range []int{pieceSize - 2, pieceSize - 1, pieceSize, pieceSize + 1, 3 * pieceSize} {
		cases = append(cases, []*pool.Frame{text(n)}, []*pool.Frame{text(n), text(n)}, []*pool.Frame{text(5), binary(n)}, []*pool.Frame{binary(n), binary(2), text(n)})
	}
	for n := pieceSize/4*3 - 3; n < pieceSize/4*3+4; n++ {
		cases = append(cases, []*pool.Frame{binary(n)}, []*pool.Frame{text(0), binary(n), text(0)})
	}
	var many []*pool.Frame
	for i := range 5000 {
		many = append(many, text(i%40))
	}
	cases = append(cases, many)
	for i, frames := range cases {
		var want []byte
		for _, f := range frames {
			want = codec.AppendPayload(want, f.Bytes())
		}
		p := streamed(frames...)
		var got bytes.Buffer
		if err := p.writeTo(&got); err != nil || !bytes.Equal(got.Bytes(), want) {
			t.Errorf("case %d: %v, %d bytes, want %d", i, err, got.Len(), len(want))
		}
		if p.size != len(want) {
			t.Errorf("case %d: announced as %d bytes, are %d", i, p.size, len(want))
		}
		p.gather()
		if !bytes.Equal(p.B, want) {
			t.Errorf("case %d: gathered %d bytes, want %d", i, len(p.B), len(want))
		}
		p.Release()
		for _, f := range frames {
			f.Release()
		}
	}
	if n := pool.Live() - live; n != 0 {
		t.Errorf("%d buffers left", n)
	}
}

func TestStreamedAnswers(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		sid := r.poll()
		s := r.session()
		path := pollingPath + "&sid=" + sid
		fill := func() string {
			s.SendAll(Message{Data: []byte(grit(streamFrom))}, Message{Data: []byte{1, 2, 3}, Binary: true})
			return "4" + grit(streamFrom) + "\x1ebAQID"
		}
		for _, accept := range []string{"gzip", "deflate"} {
			want := fill()
			p := r.do("GET", path, "", "Accept-Encoding", accept).wantHeader("Content-Encoding", accept).
				wantHeader("Vary", "Accept-Encoding").wantHeader("Content-Type", "text/plain; charset=UTF-8").wantHeader("Content-Length", "")
			if got := decoded(t, p); p.status != 200 || got != want {
				t.Errorf("%s: %d, %d bytes, want %d", accept, p.status, len(got), len(want))
			}
		}
		want := fill()
		r.do("GET", path, "").want(200, want).wantHeader("Content-Length", fmt.Sprint(len(want)))
		f := codec.NewTextFrame(codec.Message, grit(streamFrom))
		f.SetNoCompress()
		s.Send(f)
		r.do("GET", path, "", "Accept-Encoding", "gzip").want(200, "4"+grit(streamFrom)).wantHeader("Vary", "").wantHeader("Content-Encoding", "")

		// Closing: what is buffered, and CLOSE behind it with the next poll.
		want = fill()
		s.Close(ForcedClose)
		if got := decoded(t, r.do("GET", path, "", "Accept-Encoding", "gzip")); got != want {
			t.Errorf("when closing: %d bytes, want %d", len(got), len(want))
		}
		r.get(sid).want(200, "6\x1e1")

		// As a script the answer is put together as before.
		r.do("GET", pollingPath+"&j=1", "")
		s = r.session()
		want = fill()
		q := r.do("GET", pollingPath+"&j=1&sid="+s.ID(), "", "Accept-Encoding", "gzip")
		if got := scriptPayload(t, decoded(t, q), "1"); got != want {
			t.Errorf("script: %d bytes, want %d", len(got), len(want))
		}
	})
}

// When too many clients read compressed streams already, the next gets its answer as a whole.
func TestStreamsAreBounded(t *testing.T) {
	r := doors[0].open(t, Config{}, nil)
	sid := r.poll()
	s := r.session()
	for range cap(streams) {
		streams <- struct{}{}
	}
	s.SendMessage([]byte(grit(streamFrom)), false)
	p := r.do("GET", pollingPath+"&sid="+sid, "", "Accept-Encoding", "gzip").wantHeader("Content-Encoding", "gzip")
	for range cap(streams) {
		<-streams
	}
	if p.header.Get("Content-Length") != fmt.Sprint(len(p.body)) || decoded(t, p) != "4"+grit(streamFrom) {
		t.Errorf("%s bytes announced, %d came", p.header.Get("Content-Length"), len(p.body))
	}
	s.SendMessage([]byte(grit(streamFrom)), false)
	r.do("GET", pollingPath+"&sid="+sid, "", "Accept-Encoding", "gzip").wantHeader("Content-Length", "")
	if len(streams) != 0 {
		t.Errorf("%d tokens not returned", len(streams))
	}
}

// A client that hangs up in the middle leaves nothing behind; open's cleanup looks for buffers.
func TestStreamedAnswerCutShort(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{SendBuffer: 32 << 20}, nil)
		for _, accept := range []string{"", "gzip"} {
			sid := r.poll()
			noise := make([]byte, 24<<20)
			rand.NewChaCha8([32]byte{}).Read(noise)
			r.session().SendMessage(noise, true)
			nc, err := r.dial()
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(nc, "GET %s&sid=%s HTTP/1.1\r\nHost: x\r\nAccept-Encoding: %s\r\n\r\n", pollingPath, sid, accept)
			io.ReadFull(nc, make([]byte, 1000))
			nc.(*net.TCPConn).SetLinger(0)
			nc.Close()
		}
		eventually(t, "tokens are back", func() bool { return len(streams) == 0 })
	})
}

// brokenWriter fails after some bytes.
type brokenWriter struct{ room int }

var errBroken = errors.New("broken")

func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.room -= len(p); w.room < 0 {
		return 0, errBroken
	}
	return len(p), nil
}

func TestStreamEndsWithWriter(t *testing.T) {
	f := codec.NewBinaryFrame(make([]byte, 10*pieceSize))
	defer f.Release()
	for room := 0; room < 5*pieceSize; room += pieceSize / 2 {
		p := streamed(f, f)
		if err := p.writeTo(&brokenWriter{room}); !errors.Is(err, errBroken) {
			t.Errorf("with room for %d: %v", room, err)
		}
		p.Release()
	}
	p := streamed(f)
	defer p.Release()
	if err := encode(coding.Gzip, &brokenWriter{5}, p.writeTo); !errors.Is(err, errBroken) {
		t.Errorf("compressed: %v", err)
	}
}

// The memory that one answer takes beyond its frames does not grow with it.
func TestStreamMemory(t *testing.T) {
	if invariants.Enabled {
		t.Skip("memory is not recycled")
	}
	f := codec.NewTextFrame(codec.Message, prose(2<<20))
	defer f.Release()
	atATime := 0
	answer := func() {
		p := streamed(f, f)
		out := pieces{w: io.Discard, buf: pool.Get(pieceSize)}
		encode(coding.Gzip, &out, p.writeTo)
		atATime = cap(out.buf.B)
		out.buf.Release()
		p.Release()
	}
	const ceiling = 64 << 10
	if n := alloctest.Bytes(ceiling, answer); n > ceiling {
		t.Errorf("an answer of 4 MiB allocates %d bytes", n)
	}
	if atATime > 32<<10 {
		t.Errorf("%d bytes are put together at a time", atATime)
	}
}

// BenchmarkAnswer compares compressing answers as a whole with streaming them.
func BenchmarkAnswer(b *testing.B) {
	for _, size := range []int{4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20} {
		var frames []*pool.Frame
		for i := range size / 512 {
			frames = append(frames, codec.NewTextFrame(codec.Message, fmt.Sprintf(`42["update",{"id":%d,"name":"item %d","price":%d.5,"text":%q}]`, i, i*7919, i%977, prose(430))))
		}
		w := &firstByte{}
		b.Run(fmt.Sprintf("bytes=%d/way=whole", size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				p := streamed(frames...)
				p.gather()
				z := encodeBody(coding.Gzip, p.B)
				p.Release()
				w.Write(z.B)
				z.Release()
			}
		})
		b.Run(fmt.Sprintf("bytes=%d/way=stream", size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				p := streamed(frames...)
				out := pieces{w: w, buf: pool.Get(pieceSize)}
				encode(coding.Gzip, &out, p.writeTo)
				out.flush()
				out.buf.Release()
				p.Release()
			}
		})
	}
}

type firstByte struct{ http.ResponseWriter }

func (*firstByte) Write(p []byte) (int, error) { return len(p), nil }
