package fuzz

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"testing"
	"unicode/utf8"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/pool"
)

// FuzzEngineIOPayload reads the body of a polling POST.
func FuzzEngineIOPayload(f *testing.F) {
	seedPayloads(f)
	text := codec.NewTextFrame(codec.Message, "héllo\u2028")
	binary := codec.NewBinaryFrame([]byte{0, 1, 254, 255})
	body := codec.AppendPayload(codec.AppendPayload(nil, text.Bytes()), binary.Bytes())
	text.Release()
	binary.Release()
	for _, seed := range []string{string(body), "2", "4", "b", "bAQ==", "4a\x1e\x1e4b", "9", "\x1e", "4\xff\xfe", "2probe\x1e5"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := codec.NewPayloadReader(bytes.Clone(body))
		packets, size := 0, 0
		var messages []codec.Packet
		for {
			p, err := r.Next()
			if err != nil {
				if _, violation := errors.AsType[*codec.ProtocolError](err); !violation && err != io.EOF {
					t.Fatalf("unexpected kind of error: %v", err)
				}
				break
			}
			packets++
			size += len(p.Data)
			if !p.Binary && !utf8.Valid(p.Data) {
				t.Fatalf("ill-formed text %q", p.Data)
			}
			if p.Type == codec.Message {
				messages = append(messages, p)
			}
		}
		sameMessages(t, messages, codec.AppendPayload, codec.NewPayloadReader)
		// U+FFFD is three bytes for one; nothing else grows.
		if packets > len(body)+1 || size > 3*len(body) {
			t.Fatalf("%d bytes became %d packets of %d bytes", len(body), packets, size)
		}
	})
}

// FuzzEngineIOPayloadV3 reads the body of a polling POST as either payload of
// Engine.IO v3.
func FuzzEngineIOPayloadV3(f *testing.F) {
	seedPayloadsV3(f)
	text := codec.NewTextFrame(codec.Message, "h\u00e9llo\u2028\U0001f600")
	binary := codec.NewBinaryFrame([]byte{0, 1, 254, 255})
	frame := append(bytes.Clone(text.Bytes()), binary.Bytes()...)
	text.Release()
	binary.Release()
	for _, seed := range []string{
		string(codec.AppendPayloadV3(nil, frame)), string(codec.AppendBinaryPayloadV3(nil, frame)),
		"", "0:", "0:0:2:4a", "1:b", "2:b4", "2:4\U0001f600", "3:4\xff\xfe", "99999999999:4", ":", "2:4a1", "6:2probe1:5",
		"\x00\x01\xff2", "\x01\x01\xff\x04", "\x00\x04\xff4\xed\xa0\x80", "\x00\x09\x09\x09\xff4", "\x01\xff", "\x00\x00\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for i, r := range []codec.PayloadReader{codec.NewPayloadReaderV3(bytes.Clone(body)), codec.NewBinaryPayloadReaderV3(bytes.Clone(body))} {
			packets, size := 0, 0
			var messages []codec.Packet
			for {
				p, err := r.Next()
				if err != nil {
					if _, violation := errors.AsType[*codec.ProtocolError](err); !violation && err != io.EOF {
						t.Fatalf("unexpected kind of error: %v", err)
					}
					break
				}
				if !p.Binary && !utf8.Valid(p.Data) {
					t.Fatalf("ill-formed text %q", p.Data)
				}
				packets++
				size += len(p.Data)
				if p.Type == codec.Message {
					messages = append(messages, p)
				}
			}
			sameMessages(t, messages, codec.AppendPayloadV3, codec.NewPayloadReaderV3)
			sameMessages(t, messages, codec.AppendBinaryPayloadV3, codec.NewBinaryPayloadReaderV3)
			// As in v4 U+FFFD is three bytes for one; a binary body never grows.
			if limit := (3 - 2*i) * len(body); packets > len(body) || size > limit {
				t.Fatalf("%d bytes became %d packets of %d bytes", len(body), packets, size)
			}
		}
	})
}

// sameMessages writes messages as one payload and reads them again.
func sameMessages(t *testing.T, messages []codec.Packet, appendTo func(dst, frame []byte) []byte, reader func([]byte) codec.PayloadReader) {
	t.Helper()
	var body []byte
	for _, m := range messages {
		f := codec.NewBinaryFrame(m.Data)
		if !m.Binary {
			f.Release()
			f = codec.NewTextFrame(codec.Message, m.Data)
		}
		body = appendTo(body, f.Bytes())
		f.Release()
	}
	if len(messages) == 0 {
		return
	}
	r := reader(body)
	for i, m := range messages {
		p, err := r.Next()
		if err != nil || p.Type != codec.Message || p.Binary != m.Binary || !bytes.Equal(p.Data, m.Data) {
			t.Fatalf("message %d, %q, came back as %q, %v", i, m.Data, p.Data, err)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Fatalf("behind the last message: %v", err)
	}
}

// FuzzSocketIO feeds a decoder with a text message and what follows it, cut into
// attachments, and sends back whatever it accepts.
func FuzzSocketIO(f *testing.F) {
	seedSocketIO(f)
	limits := &codec.Limits{MaxAttachments: 4, MaxAttachmentBytes: 1 << 16, MaxDepth: 32}
	for _, args := range [][]any{{}, {1, "two", nil, true}, {map[string]any{"a": []any{1.5, "\u2028"}}}, {[]byte{1, 2}, map[string]any{"b": []byte{}}}} {
		frame, err := codec.JSON.EncodeEvent("/ns", 12, "event", args)
		if err != nil {
			f.Fatal(err)
		}
		var text, rest []byte
		for binary, part := range codec.Parts(frame.Bytes()) {
			if binary {
				rest = append(rest, part...)
			} else {
				text = append(text, part[1:]...)
			}
		}
		frame.Release()
		f.Add(text, rest, 2)
	}
	for _, seed := range []string{"0", `0/a,{"token":1}`, "1", "3[]", `31["x"]`, "4", "5", `51-["a",{"_placeholder":true,"num":0}]`, "2[", "[[[[", `2["a",[[[[[[]]]]]]]`} {
		f.Add([]byte(seed), []byte{1, 2, 3}, 1)
	}
	f.Fuzz(func(t *testing.T, text, rest []byte, cut int) {
		before := pool.Live()
		defer func() {
			if leaked := pool.Live() - before; leaked != 0 {
				t.Fatalf("%d buffers leaked", leaked)
			}
		}()
		bounded(t, 400*(len(text)+len(rest)), func() { decodeAll(limits, text, rest, cut) })
		d := codec.JSON.NewDecoder(limits)
		defer d.Close()
		in, err := d.Text(bytes.Clone(text))
		for in == nil && err == nil {
			n := min(max(cut, 0), len(rest))
			in, err = d.Binary(bytes.Clone(rest[:n]))
			rest = rest[n:]
		}
		if err != nil {
			if _, violation := errors.AsType[*codec.ProtocolError](err); !violation {
				t.Fatalf("unexpected kind of error: %v", err)
			}
			return
		}
		defer in.Release()
		again(t, in)
	})
}

// decodeAll does what a server does with a message.
func decodeAll(limits *codec.Limits, text, rest []byte, cut int) {
	d := codec.JSON.NewDecoder(limits)
	defer d.Close()
	in, err := d.Text(text)
	for in == nil && err == nil {
		n := min(max(cut, 0), len(rest))
		in, err = d.Binary(rest[:n])
		rest = rest[n:]
	}
	if err != nil {
		return
	}
	defer in.Release()
	for i := range in.Len() {
		var v any
		_ = in.Decode(i, &v)
	}
}

// again decodes the arguments, sends them back, and decodes what arrives.
func again(t *testing.T, in *codec.In) {
	if in.Type != codec.Event && in.Type != codec.Ack {
		return
	}
	args := make([]any, in.Len())
	for i := range args {
		if in.Attachments() == 0 && !json.Valid(in.Raw(i)) {
			t.Fatalf("argument %d is not JSON: %q", i, in.Raw(i))
		}
		if err := in.Decode(i, &args[i]); err != nil {
			return // a number beyond float64, for example
		}
	}
	frame, err := codec.JSON.EncodeAck(string(in.Namespace), in.ID, args)
	if err != nil {
		t.Fatalf("what was received cannot be sent: %v", err)
	}
	defer frame.Release()
	d := codec.JSON.NewDecoder(nil)
	defer d.Close()
	var back *codec.In
	for binary, part := range codec.Parts(frame.Bytes()) {
		if binary {
			back, err = d.Binary(part)
		} else {
			back, err = d.Text(part[1:])
		}
		if err != nil {
			t.Fatalf("what was sent cannot be received: %v", err)
		}
	}
	if back == nil {
		t.Fatal("what was sent is not complete")
	}
	defer back.Release()
	if back.Len() != len(args) || string(back.Namespace) != string(in.Namespace) || back.ID != in.ID {
		t.Fatalf("%d arguments for %q, %d came back as %d for %q, %d", len(args), in.Namespace, in.ID, back.Len(), back.Namespace, back.ID)
	}
	for i := range args {
		var got any
		if err := back.Decode(i, &got); err != nil || !equal(got, args[i]) {
			t.Fatalf("argument %d: %#v came back as %#v, %v", i, args[i], got, err)
		}
	}
}

// FuzzWebTransport reads a WebTransport stream, in one piece and in two, and writes what it
// has read.
func FuzzWebTransport(f *testing.F) {
	text := codec.NewTextFrame(codec.Message, "héllo\u2028")
	binary := codec.NewBinaryFrame([]byte{0, 1, 254, 255})
	stream := codec.NewFrameIn(codec.FormWebTransport, append(bytes.Clone(text.Bytes()), binary.Bytes()...))
	for _, seed := range []string{
		string(stream.Bytes()), "", "\x00", "\x80", "\x010", "\x0e0{\"sid\":\"abc\"}\x062probe\x015", "\x05bAQID", "\x024\xff",
		"\x7e\x00\x016", "\x7f\x00\x00\x00\x00\x00\x00\x00\x016", "\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\x7e\xff", "\xfe\x01\x00",
	} {
		f.Add([]byte(seed), 3)
	}
	text.Release()
	binary.Release()
	stream.Release()
	const limit = 1000
	f.Fuzz(func(t *testing.T, stream []byte, cut int) {
		// read takes packets from p and returns the rest, as a connection does.
		read := func(p []byte) (packets []codec.WTPacket, rest []byte, err error) {
			for {
				packet, n, err := codec.NextWT(p, limit)
				if err != nil || n == 0 {
					return packets, p, err
				}
				if len(packet.Data) > limit || uint64(len(packet.Data)) != packet.Size {
					t.Fatalf("a packet of %d bytes, announced as %d", len(packet.Data), packet.Size)
				}
				packets, p = append(packets, packet), p[n:]
			}
		}
		whole, _, err := read(stream)
		at := min(max(cut, 0), len(stream))
		first, rest, err1 := read(stream[:at:at])
		if err1 == nil {
			var second []codec.WTPacket
			second, _, err1 = read(append(rest[:len(rest):len(rest)], stream[at:]...))
			first = append(first, second...)
		}
		if err != err1 || len(whole) != len(first) {
			t.Fatalf("in one piece %d packets, %v; in two %d, %v", len(whole), err, len(first), err1)
		}
		for i, p := range whole {
			if p.Binary != first[i].Binary || !bytes.Equal(p.Data, first[i].Data) {
				t.Fatalf("packet %d differs", i)
			}
			again, n, err := codec.NextWT(append(codec.AppendWTHeader(nil, p.Binary, len(p.Data)), p.Data...), limit)
			if err != nil || n == 0 || again.Binary != p.Binary || !bytes.Equal(again.Data, p.Data) {
				t.Fatalf("written and read: %d, %v", n, err)
			}
			parsed, err := p.Parse()
			if _, violation := errors.AsType[*codec.ProtocolError](err); err != nil && !violation {
				t.Fatalf("unexpected kind of error: %v", err)
			}
			if err == nil && !parsed.Binary && !utf8.Valid(parsed.Data) {
				t.Fatalf("ill-formed text %q", parsed.Data)
			}
		}
	})
}
