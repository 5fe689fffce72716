package eio

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/internal/invariants"
	"github.com/epio-go/epio/pool"
)

// deflated compresses as a client does, with the standard library.
func deflated(data string) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, 6)
	if err != nil {
		panic(err)
	}
	io.WriteString(w, data)
	w.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte("\x00\x00\xff\xff"))
}

// unflate decompresses as a client without context takeover does.
func unflate(data []byte) ([]byte, error) {
	return io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(data), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff"))))
}

func deflatedText(s string) []byte { return clientFrame(0xc1, deflated(s)) }

// prose returns n bytes that become smaller.
func prose(n int) string { return strings.Repeat("compressible ", n/13+1)[:n] }

func TestDeflateHandshake(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		on := d.open(t, Config{PerMessageDeflate: &PerMessageDeflate{}}, nil)
		// The usual offer is in every request of the test client.
		for want, header := range map[string]string{
			deflateAnswer: "x-unknown",
			"":            "\"broken",
		} {
			c := on.upgrade(wsPath, nil, "Sec-WebSocket-Extensions", header)
			c.want101()
			if got := c.header.Get("Sec-WebSocket-Extensions"); got != want {
				t.Errorf("beside %q the answer is %q, want %q", header, got, want)
			}
		}
		off := d.open(t, Config{}, nil)
		c := off.websocket()
		if got := c.header["Sec-Websocket-Extensions"]; got != nil {
			t.Errorf("answered with %q though it is off", got)
		}
	})
}

func TestDeflateEcho(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{PerMessageDeflate: &PerMessageDeflate{}}, nil)
		c := r.websocket()
		wantDeflated := func(n int) {
			t.Helper()
			if c.deflated != n {
				t.Errorf("%d compressed messages so far, want %d", c.deflated, n)
			}
		}
		c.write(deflatedText("4small"))
		c.want("4small")
		c.write(deflatedText("4" + prose(1022)))
		c.want("4" + prose(1022))
		wantDeflated(0)
		c.write(deflatedText("4" + prose(1023))) // the threshold counts the type
		c.want("4" + prose(1023))
		wantDeflated(1)
		c.send("4" + prose(2000)) // a client may send plain messages, too
		c.want("4" + prose(2000))
		wantDeflated(2)
		c.write(clientFrame(0xc2, deflated(prose(100_000))))
		c.wantBinary([]byte(prose(100_000))...)
		wantDeflated(3)
		c.write(clientFrame(0xc2, []byte{0})) // an empty message
		c.wantBinary()
		wantDeflated(3)

		c.write(clientFrame(0x41, deflated("4€ in pieces")[:5]))
		c.write(clientFrame(0x89, []byte("between")))
		c.write(clientFrame(0x80, deflated("4€ in pieces")[5:]))
		if op, p, err := c.frame(); op != ws.OpPong || string(p) != "between" {
			t.Errorf("got %v %q %v, want a pong", op, p, err)
		}
		c.want("4€ in pieces")
	})
}

// A client that offers nothing gets nothing compressed.
func TestDeflateNotOffered(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{PerMessageDeflate: &PerMessageDeflate{}}, nil)
		nc, err := r.dial()
		if err != nil {
			t.Fatal(err)
		}
		c := newWSClient(t, nc, []byte(strings.Replace(benchRequest, "Host: x", "Host: "+r.addr, 1)))
		c.want101()
		c.text()
		c.send("4" + prose(5000))
		c.want("4" + prose(5000))
		if c.deflated != 0 {
			t.Error("compressed without having been asked")
		}
		c.write(deflatedText("4"))
		c.wantCloseFrame(1002)
	})
}

func TestDeflateUpgrade(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{PerMessageDeflate: &PerMessageDeflate{}}, nil)
		sid := r.poll()
		s := r.session()
		if s.Form() != codec.FormPlain {
			t.Error("polling is not plain")
		}
		c := r.candidate(sid)
		c.write(deflatedText("2probe"))
		c.want("3probe")
		s.SendMessage([]byte(prose(4000)), false)
		c.write(deflatedText("5"))
		c.want("4" + prose(4000))
		if c.deflated != 0 {
			t.Error("what waited for the upgrade is compressed")
		}
		c.write(deflatedText("4" + prose(3000)))
		c.want("4" + prose(3000))
		if c.deflated != 1 || s.Form() != codec.FormDeflated {
			t.Errorf("%d compressed messages, form %v", c.deflated, s.Form())
		}
	})
}

func TestDeflateBase64(t *testing.T) {
	r := doors[2].open(t, Config{PerMessageDeflate: &PerMessageDeflate{}}, nil)
	c := r.websocket("&b64=1")
	c.write(clientFrame(0xc2, deflated(string(make([]byte, 3000)))))
	c.want("b" + strings.Repeat("AAAA", 1000))
	if c.deflated != 1 {
		t.Error("not compressed")
	}
}

// Whatever way a message goes out, it is compressed if it may be.
func TestDeflateSends(t *testing.T) {
	r := doors[2].open(t, Config{PerMessageDeflate: &PerMessageDeflate{Threshold: 300}}, nil)
	c := r.websocket()
	s := r.session()
	text := prose(400)
	ways := map[string]func(*pool.Frame){
		"Send":          func(f *pool.Frame) { s.Send(f) },
		"SendVolatile":  func(f *pool.Frame) { s.SendVolatile(f) },
		"Queue":         func(f *pool.Frame) { b := r.srv.Engine().NewBatch(); s.Queue(f, b); b.Flush() },
		"QueueVolatile": func(f *pool.Frame) { b := r.srv.Engine().NewBatch(); s.QueueVolatile(f, b); b.Flush() },
	}
	for name, send := range ways {
		for _, plain := range []bool{false, true} {
			c.deflated = 0
			f := codec.NewTextFrame(codec.Message, text)
			if plain {
				f.SetNoCompress()
			}
			eventually(t, "everything is written", func() bool { return s.Buffered() == 0 })
			send(f)
			c.want("4" + text)
			if c.deflated == 1 == plain {
				t.Errorf("%s, NoCompress %v: %d compressed", name, plain, c.deflated)
			}
		}
	}
}

// A volatile message for a client that does not read is dropped.
func TestDeflateVolatile(t *testing.T) {
	r := doors[2].open(t, Config{PerMessageDeflate: &PerMessageDeflate{}}, nil)
	r.websocket()
	s := r.session()
	noise := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	for s.Buffered() == 0 { // until the kernel takes no more
		if err := s.SendMessage(noise, true); err != nil {
			t.Fatal(err)
		}
	}
	if s.SendVolatile(codec.NewTextFrame(codec.Message, prose(5000))) {
		t.Error("taken")
	}
}

// The send buffer counts what is in it.
func TestDeflateSendBuffer(t *testing.T) {
	r := doors[2].open(t, Config{PerMessageDeflate: &PerMessageDeflate{}, SendBuffer: 64 << 10}, nil)
	c := r.websocket()
	s := r.session()
	if err := s.SendMessage([]byte(prose(1<<20)), false); err != nil {
		t.Errorf("a message that fits when compressed: %v", err)
	}
	c.want("4" + prose(1<<20))
	noise := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	if err := s.SendMessage(noise, true); err != ErrBufferFull {
		t.Errorf("one that does not: %v", err)
	}
}

func TestDeflateViolations(t *testing.T) {
	fine := deflated("4" + prose(1000) + "and the end")
	bomb := deflated(strings.Repeat("0", 1<<20))
	tests := []struct {
		name  string
		bytes []byte
		code  int
		cause error
	}{
		{"RSV1 on a continuation", append(clientFrame(0x41, nil), clientFrame(0xc0, nil)...), 1002, ErrWebSocketProtocol},
		{"RSV1 on a PING", clientFrame(0xc9, nil), 1002, ErrWebSocketProtocol},
		{"RSV1 on a CLOSE", clientFrame(0xc8, nil), 1002, ErrWebSocketProtocol},
		{"RSV2", clientFrame(0xa1, []byte("4")), 1002, ErrWebSocketProtocol},
		{"RSV1 and RSV3", clientFrame(0xd1, deflated("4")), 1002, ErrWebSocketProtocol},
		{"RSV1 on a reserved opcode", clientFrame(0xc3, deflated("4")), 1002, ErrWebSocketProtocol},
		{"garbage", clientFrame(0xc1, []byte("\xff\xff\xff")), 1007, ErrWebSocketDeflate},
		{"cut short", clientFrame(0xc2, fine[:30]), 1007, ErrWebSocketDeflate},
		{"cut short, in fragments", append(clientFrame(0x42, fine[:10]), clientFrame(0x80, fine[10:30])...), 1007, ErrWebSocketDeflate},
		{"with context", append(clientFrame(0xc2, []byte("\xf2\x48\xcd\xc9\xc9\x07\x00")), clientFrame(0xc2, []byte("\xf2\x00\x11\x00\x00"))...), 1007, ErrWebSocketDeflate},
		{"bad UTF-8", deflatedText("4\xff"), 1007, ErrWebSocketUTF8},
		{"bad UTF-8, in fragments", append(clientFrame(0x41, deflated("4\xff")[:3]), clientFrame(0x80, deflated("4\xff")[3:])...), 1007, ErrWebSocketUTF8},
		{"rune cut at the end", deflatedText("4\xe2\x82"), 1007, ErrWebSocketUTF8},
		{"one byte too big", clientFrame(0xc2, deflated(prose(2001))), 1009, ErrMessageTooBig},
		{"bomb", clientFrame(0xc2, bomb), 1009, ErrMessageTooBig},
		{"bomb, in fragments", append(clientFrame(0x42, bomb[:700]), clientFrame(0x80, bomb[700:])...), 1009, ErrMessageTooBig},
		{"too big on the wire", []byte{0xc2, 0x80 | 126, 0x10, 0}, 1009, ErrMessageTooBig},
		{"too big on the wire over fragments", append(clientFrame(0x42, make([]byte, 2000)), 0x80, 0x80|126, 0x08, 0), 1009, ErrMessageTooBig},
		{"empty packet", clientFrame(0xc1, []byte{0}), 1005, codec.ErrPacket},
	}
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{MaxPayload: 2000, PerMessageDeflate: &PerMessageDeflate{}}, nil)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				r := *r
				r.t = t
				c := r.websocket()
				c.write(tt.bytes)
				if tt.name == "with context" {
					c.wantBinary([]byte("Hello")...)
				}
				c.wantCloseFrame(tt.code)
				reason := TransportError
				if tt.code == 1005 {
					reason = ParseError
				}
				r.wantClose(reason, tt.cause)
			})
		}
	})
}

// A message of exactly MaxPayload bytes passes, also when compression has made it larger.
func TestDeflateExactlyMax(t *testing.T) {
	noise := make([]byte, 2000)
	rand.NewChaCha8([32]byte{}).Read(noise)
	z := deflated(string(noise))
	if len(z) <= len(noise) {
		t.Fatal("noise became smaller")
	}
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{MaxPayload: 2000, PerMessageDeflate: &PerMessageDeflate{}}, nil)
		c := r.websocket()
		c.write(clientFrame(0xc2, z))
		c.wantBinary(noise...)
		c.write(clientFrame(0xc2, deflated(prose(2000))))
		c.wantBinary([]byte(prose(2000))...)
	})
}

// A peer that stores in small blocks still gets through with MaxPayload bytes.
func TestDeflateStored(t *testing.T) {
	const size, block = 2 << 20, 96
	data := []byte(prose(size))
	var z []byte
	for part := range slices.Chunk(data, block) {
		n := uint16(len(part))
		z = binary.LittleEndian.AppendUint16(append(z, 0), n)
		z = append(binary.LittleEndian.AppendUint16(z, ^n), part...)
	}
	z = append(z, 0)
	if len(z) < size+inboundSlack {
		t.Fatalf("only %d bytes", len(z))
	}
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{MaxPayload: size, PerMessageDeflate: &PerMessageDeflate{}}, nil)
		c := r.websocket()
		c.write(clientFrame(0xc2, z))
		c.wantBinary(data...)
	})
}

// TestDeflateSplits cuts a compressed message into two and three fragments at every place.
func TestDeflateSplits(t *testing.T) {
	text := "4" + prose(60) + "€😀"
	z := deflated(text)
	want := fmt.Sprintf("1 %x", text)
	check := func(parts ...[]byte) {
		t.Helper()
		var stream []byte
		for i, p := range parts {
			first := byte(0)
			if i == 0 {
				first = 0x41
			}
			if i == len(parts)-1 {
				first |= 0x80
			}
			stream = append(stream, clientFrame(first, p)...)
		}
		for _, piece := range []int{len(stream), 1, 7} {
			got, err := wsReader{deflate: true}.readAll(bytes.Clone(stream), len(text), piece)
			if err != nil || len(got) != 1 || got[0] != want {
				t.Fatalf("%d fragments in pieces of %d: got %q %v", len(parts), piece, got, err)
			}
		}
		if _, err := (wsReader{deflate: true}).readAll(bytes.Clone(stream), len(text)-1); !errors.Is(err, ErrMessageTooBig) {
			t.Fatalf("one byte over the limit: %v", err)
		}
		if _, err := (wsReader{}).readAll(bytes.Clone(stream), len(text)); !errors.Is(err, ErrWebSocketProtocol) {
			t.Fatalf("not negotiated: %v", err)
		}
	}
	for i := range len(z) + 1 {
		check(z[:i], z[i:])
		for j := i; j <= len(z); j += 5 {
			check(z[:i], z[i:j], z[j:])
		}
	}
}

func FuzzWSDeflate(f *testing.F) {
	text := deflated("4" + prose(150))
	for _, frames := range [][][]byte{
		{deflatedText("4hello"), clientFrame(0xc2, deflated("\x01\x02"))},
		{clientFrame(0x41, text[:10]), clientFrame(0x89, nil), clientFrame(0x00, text[10:11]), clientFrame(0x80, text[11:])},
		{clientFrame(0x41, deflated("4")), textFrame("4")},
		{clientFrame(0xc1, []byte("\xf3\x48\xcd\xc9\xc9\x07\x00\x00")), textFrame("4plain")},
		{clientFrame(0xc2, []byte{0}), clientFrame(0xc2, nil)},
		{clientFrame(0xc2, deflated(strings.Repeat("0", 100_000)))},
		{clientFrame(0xc1, deflated("4\xe2\x82"))},
		{clientFrame(0xc9, nil)},
	} {
		f.Add(bytes.Join(frames, nil), uint8(3), uint8(70))
	}
	f.Fuzz(func(t *testing.T, stream []byte, first, rest uint8) {
		checkReader(t, wsReader{deflate: true}, stream, int(first), int(rest))
	})
}

func TestDeflateAllocations(t *testing.T) {
	if invariants.Enabled {
		t.Skip("memory is not recycled")
	}
	frame := clientFrame(0xc1, deflated("4"+prose(5000)))
	scratch := make([]byte, len(frame))
	r := wsReader{deflate: true}
	read := func() {
		copy(scratch, frame)
		m, n, err := r.next(scratch, 10_000)
		if err != nil || n != len(frame) || len(m.data) != 5001 {
			t.Fatal(n, err)
		}
		m.release()
	}
	for range 10 {
		read()
	}
	if n := testing.AllocsPerRun(200, read); n != 0 {
		t.Errorf("reading a compressed message allocates %v times", n)
	}
}

func TestDeflateConfig(t *testing.T) {
	_, err := NewServer(Config{PerMessageDeflate: &PerMessageDeflate{Threshold: -1}}, silent{})
	if ce, ok := errors.AsType[*ConfigError](err); !ok || ce.Field != "PerMessageDeflate.Threshold" {
		t.Errorf("got %v", err)
	}
	given := PerMessageDeflate{}
	srv, err := NewServer(Config{PerMessageDeflate: &given}, silent{})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	if srv.cfg.PerMessageDeflate.Threshold != 1024 || given.Threshold != 0 {
		t.Errorf("threshold %d, in the caller's Config %d", srv.cfg.PerMessageDeflate.Threshold, given.Threshold)
	}
}
