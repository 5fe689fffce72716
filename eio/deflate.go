package eio

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/pool"
)

// rsv1 is the bit RSV1 of ws.Header.Rsv: on the first frame of a message it tells that
// the message is compressed.
const rsv1 = 4

// PerMessageDeflate configures the compression of WebSocket messages, RFC 7692.
//
// Every message is compressed by itself: both sides are told to forget the last one
// ("no context takeover"). That makes less of many small messages, but a connection needs
// no memory for it, and a broadcast is compressed once for all its receivers. The
// compressors, some 750 KB each, belong to the process, as many as work at a time.
//
// Think twice before you compress text that mixes secrets with what an attacker can choose:
// the size tells about the content. [pool.Frame.SetNoCompress] exempts a packet.
type PerMessageDeflate struct {
	// Threshold is the least number of bytes of a message that is compressed. Smaller
	// ones are sent as they are, and so are those that do not become smaller. It
	// counts what is on the wire, packet type included. Default 1024.
	Threshold int
}

// maxMessage returns the greatest number of bytes that a message of MaxPayload bytes
// can have on the wire.
func (c *Config) maxMessage() int {
	if c.PerMessageDeflate != nil {
		return codec.MaxDeflated(c.MaxPayload)
	}
	return c.MaxPayload
}

// Deflate returns f, which is in the form of the receiver already, with its messages
// compressed, or nil when it is to be sent as it is: because its messages are
// small or do not become smaller, because of SetNoCompress, or because compression is
// not configured. It borrows f. The caller owns the one reference to the result, which is
// for [Session.QueueForm] alone.
func (srv *Server) Deflate(f *pool.Frame) *pool.Frame {
	o := srv.cfg.PerMessageDeflate
	if o == nil || f.NoCompress() {
		return nil
	}
	z := codec.NewDeflatedFrame(f.Bytes(), o.Threshold)
	if z != nil {
		z.Inherit(f)
	}
	return z
}

// setDeflate says whether the WebSocket takes and sends compressed messages. It is called
// before the connection is known to the session, with s.mu held or before anybody
// else can have it.
func (s *Session) setDeflate(on bool) { s.deflate, s.rd.deflate = on, on }

// inflate returns the message that was compressed into data, which is borrowed.
func inflate(op ws.OpCode, data []byte, limit int) (m wsMessage, err error) {
	buf, err := codec.Inflate(data, limit)
	switch {
	case errors.Is(err, codec.ErrInflatedSize):
		return m, &SizeError{Size: int64(limit) + 1, Limit: limit}
	case err != nil:
		return m, fmt.Errorf("%w: %w", ErrWebSocketDeflate, err)
	case op == ws.OpText && !utf8.Valid(buf.B):
		buf.Release()
		return m, ErrWebSocketUTF8
	}
	return wsMessage{op: op, data: buf.B, buf: buf}, nil
}
