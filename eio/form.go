package eio

import (
	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/pool"
)

// formOf returns how binary messages travel to a client.
func formOf(v3, base64 bool) codec.Form {
	switch {
	case v3 && base64:
		return codec.FormV3Base64
	case v3:
		return codec.FormV3
	case base64:
		return codec.FormBase64
	}
	return codec.FormPlain
}

// form returns how binary messages travel to this client on its current transport. The
// caller holds s.mu, or has seen s.conn.
func (s *Session) form() codec.Form {
	if s.m.transport == WebTransport { // for good, and from before s.conn was set
		return codec.FormWebTransport
	}
	return formOf(s.v3, s.base64)
}

// Form returns the form in which the session's WebSocket or WebTransport takes frames, for
// QueueForm. While there is none, and always with Config.Hooks, it is FormPlain. Once it is
// another one, it stays.
func (s *Session) Form() codec.Form {
	if s.conn.Load() == nil || s.srv.cfg.Hooks != nil { // hooks look at what is sent
		return codec.FormPlain
	}
	if s.deflate {
		return s.form() | codec.FormDeflated
	}
	return s.form()
}

// wire returns f as this session's WebSocket or WebTransport takes it. It takes f and returns
// what takes its place.
func (s *Session) wire(f *pool.Frame) *pool.Frame {
	f = s.inForm(f)
	if !s.deflate {
		return f
	}
	if z := s.srv.Deflate(f); z != nil {
		f.MoveNotify(z)
		f.Release()
		return z
	}
	return f
}

// inForm is wire without compression.
func (s *Session) inForm(f *pool.Frame) *pool.Frame {
	form := s.form()
	if form == codec.FormPlain || form != codec.FormWebTransport && !codec.HasBinary(f.Bytes()) {
		return f
	}
	other := codec.NewFrameIn(form, f.Bytes())
	other.Inherit(f)
	f.MoveNotify(other)
	f.Release()
	return other
}

// parseText parses a WebSocket text message of this client. It borrows p for writing.
func (s *Session) parseText(p []byte) (codec.Packet, error) {
	if s.v3 {
		return codec.ParseTextV3(p)
	}
	return codec.ParseText(p)
}

// parseBinary parses a WebSocket binary message of this client.
func (s *Session) parseBinary(p []byte) codec.Packet {
	if s.v3 {
		return codec.ParseBinaryV3(p)
	}
	return codec.Packet{Type: codec.Message, Binary: true, Data: p}
}

// payload is the body of an answer to a poll: complete in Buf, or to be streamed from frames.
type payload struct {
	*pool.Buf
	frames   []*pool.Frame // a reference to each; Buf is nil then
	size     int           // of what is to be streamed, in bytes
	form     codec.Form
	binary   bool // a binary payload of Engine.IO v3
	compress bool // not all of it is marked as not to be compressed
	packets  int  // how many Hooks.Flush was told of
	taken    int  // bytes of the outbox, see outbox.taken
}

// newPayload returns frames, which are plain, as one payload for a client that takes
// binary messages in the form f. It borrows them. The caller releases the payload.
//
// Engine.IO v3 has a payload of its own for binary messages, for clients that can read
// it; there, a payload without any is text all the same.
func newPayload(f codec.Form, frames ...*pool.Frame) payload {
	p := payload{form: f}
	n := 0
	for _, frame := range frames {
		p.compress = p.compress || !frame.NoCompress()
		if f.V3() {
			n += codec.PayloadLenV3(frame.Bytes())
			p.binary = p.binary || f == codec.FormV3 && codec.HasBinary(frame.Bytes())
		} else {
			n += codec.PayloadLen(frame.Bytes()) + 1
		}
	}
	if n > streamFrom && !f.V3() {
		p.frames = make([]*pool.Frame, 0, len(frames)+1)
		p.size = -1 // no separator in front of the first
	} else {
		p.Buf = pool.Get(n + 32) // a NOOP and a CLOSE
	}
	for _, frame := range frames {
		p.add(frame)
	}
	return p
}

// add appends the packets in frame. It borrows frame.
func (p *payload) add(frame *pool.Frame) {
	switch {
	case p.frames != nil:
		frame.Retain(1)
		p.frames = append(p.frames, frame)
		p.size += codec.PayloadLen(frame.Bytes()) + 1
	case !p.form.V3():
		p.B = codec.AppendPayload(p.B, frame.Bytes())
	case p.binary:
		p.B = codec.AppendBinaryPayloadV3(p.B, frame.Bytes())
	default:
		p.B = codec.AppendPayloadV3(p.B, frame.Bytes())
	}
}

// empty reports whether nothing has been added.
func (p *payload) empty() bool { return p.frames == nil && len(p.B) == 0 }

// gather puts a payload together that was to be streamed.
func (p *payload) gather() {
	if p.frames == nil {
		return
	}
	frames := p.frames
	p.frames = nil
	p.Buf = pool.Get(p.size)
	for _, f := range frames {
		p.add(f)
		f.Release()
	}
}

// Release gives the memory back.
func (p *payload) Release() {
	for _, f := range p.frames {
		f.Release()
	}
	if p.Buf != nil {
		p.Buf.Release()
	}
	p.frames, p.Buf = nil, nil
}

// contentType returns the payload's media type.
func (p *payload) contentType() string {
	if p.binary {
		return "application/octet-stream"
	}
	return "text/plain; charset=UTF-8"
}

// read returns a reader over the body of a POST, which is borrowed for writing while
// the reader is in use.
func (s *Session) read(body []byte, octets, script bool) codec.PayloadReader {
	if script {
		d, ok := formData(body)
		if !ok || octets {
			return codec.PayloadReader{} // ignored, as in the reference
		}
		body = d
	}
	switch {
	case !s.v3:
		return codec.NewPayloadReader(body)
	case octets:
		return codec.NewBinaryPayloadReaderV3(body)
	}
	return codec.NewPayloadReaderV3(body)
}
