package codec

import (
	"bytes"

	"github.com/gobwas/ws"

	"github.com/epio-go/epio/pool"
)

// Overwrite replaces the last occurrence of room in the first message of a frame by
// text, which must be as long, and reports whether it found one. Both must be text that
// JSON does not escape. The frame must not be shared yet.
//
// Connection state recovery uses it: the offset of an event, its last argument, is only
// known when the event is queued, long after it was encoded.
func Overwrite(frame []byte, room, text string) bool {
	data, _, _ := NextPart(frame)
	i := bytes.LastIndex(data, []byte(room))
	if i < 0 || len(room) != len(text) {
		return false
	}
	copy(data[i:], text)
	return true
}

// WithoutLast returns the content of a plain frame, an event in JSON, without its last
// argument, which must be the string arg, written without escapes. It returns nil when
// it is something else. The caller owns the one reference.
func WithoutLast(frame []byte, arg string) *pool.Frame {
	data, _, rest := NextPart(frame)
	head, ok := bytes.CutSuffix(data, []byte(`,"`+arg+`"]`))
	if !ok {
		return nil
	}
	b := pool.Get(len(frame))
	b.B = AppendWSHeader(b.B, ws.OpText, len(head)+1)
	b.B = append(append(b.B, head...), ']')
	b.B = append(b.B, rest...)
	return b.Seal(0)
}
