package codec

import (
	"fmt"
	"reflect"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/bytedance/sonic/encoder"
	"github.com/gobwas/ws"
	"github.com/tinylib/msgp/msgp"

	"github.com/epio-go/epio/pool"
)

// jsonEncoder builds one packet. The payload is written to scratch memory first,
// because what stands in front of it on the wire, the number of attachments and
// the WebSocket header, is only known afterwards. Then a frame of exactly the
// right size is filled from front to back:
//
//	[ 81 7e 01 2c | 451-/chat,12 | ["e",…] ][ 82 03 … ]
//
// The extra copy is cheaper than what it saves: a frame waits in the queues of
// many connections, so it should not be larger than its content.
type jsonEncoder struct {
	text        []byte   // the payload so far
	attachments [][]byte // borrowed from the application until finish

	// Of the argument being written, see binary_encode.go.
	found [][]byte // binary values, by the index of their markers
	hits  []hit    // markers in the output
	deep  bool     // maxValueDepth was reached
}

var encoders = sync.Pool{New: func() any { return new(jsonEncoder) }}

// Scratch memory beyond these sizes is not kept.
const (
	maxScratchText   = 64 << 10
	maxScratchValues = 64
)

// free returns e to its pool without what it refers to.
func (e *jsonEncoder) free() {
	clear(e.attachments)
	clear(e.found)
	e.text, e.attachments, e.found = e.text[:0], e.attachments[:0], e.found[:0]
	e.deep = false
	if cap(e.text) > maxScratchText {
		e.text = nil
	}
	if max(cap(e.attachments), cap(e.found), cap(e.hits)) > maxScratchValues {
		e.attachments, e.found, e.hits = nil, nil, nil
	}
	encoders.Put(e)
}

// finish returns the packet as a frame. id is left out when hasID is false.
func (e *jsonEncoder) finish(t Type, nsp string, id uint64, hasID bool) *pool.Frame {
	e.fixUTF8()
	// "4", the packet type, "<attachments>-", and the id take 33 bytes at most.
	var prefix, suffix [40]byte
	pre := append(prefix[:0], byte(Message), '0'+byte(t))
	if n := len(e.attachments); n > 0 {
		pre[1] += byte(BinaryEvent - Event)
		pre = append(strconv.AppendInt(pre, int64(n), 10), '-')
	}
	suf := suffix[:0]
	if nsp == "/" {
		nsp = ""
	}
	if nsp != "" {
		suf = append(suf, ',')
	}
	if hasID {
		suf = strconv.AppendUint(suf, id, 10)
	}
	n := len(pre) + len(nsp) + len(suf) + len(e.text)
	size := wsHeaderLen(n) + n
	for _, a := range e.attachments {
		size += wsHeaderLen(len(a)) + len(a)
	}
	b := pool.Get(size)
	out := AppendWSHeader(b.B, ws.OpText, n)
	out = append(out, pre...)
	out = append(out, nsp...)
	out = append(out, suf...)
	out = append(out, e.text...)
	for _, a := range e.attachments {
		out = append(AppendWSHeader(out, ws.OpBinary, len(a)), a...)
	}
	b.B = out
	return b.Seal(0)
}

// fixUTF8 replaces ill-formed bytes by U+FFFD. They come from strings of the
// application or from its MarshalJSON methods; one of them in a text frame would
// make a browser drop the connection.
func (e *jsonEncoder) fixUTF8() {
	if !utf8.Valid(e.text) {
		e.text = toValidUTF8(e.text)
	}
}

// args writes the array of event (nil for an ACK) and args.
func (e *jsonEncoder) args(event *string, args []any) error {
	e.text = append(e.text, '[')
	if event != nil {
		e.text = appendString(e.text, *event)
	}
	for i, v := range args {
		if i > 0 || event != nil {
			e.text = append(e.text, ',')
		}
		if err := e.value(v); err != nil {
			return fmt.Errorf("codec: argument %d: %w", i, err)
		}
	}
	e.text = append(e.text, ']')
	return nil
}

// value writes one argument. The most frequent types do without the library.
func (e *jsonEncoder) value(v any) error {
	switch v := v.(type) {
	case nil:
		e.text = append(e.text, "null"...)
		return nil
	case string:
		e.text = appendString(e.text, v)
		return nil
	case bool:
		e.text = strconv.AppendBool(e.text, v)
		return nil
	case int:
		e.text = strconv.AppendInt(e.text, int64(v), 10)
		return nil
	case int64:
		e.text = strconv.AppendInt(e.text, v, 10)
		return nil
	case []byte:
		if v == nil {
			e.text = append(e.text, "null"...)
			return nil
		}
		e.text = appendPlaceholder(e.text, len(e.attachments))
		e.attachments = append(e.attachments, v)
		return nil
	case msgp.Raw:
		return e.msgpack(v)
	}
	if p := encodePlan(reflect.TypeOf(v)); p.kind != planNone {
		return e.binaryValue(v)
	}
	return e.library(v)
}

// encodeOptions is empty on purpose: no escaping for HTML and no sorting, as
// JSON.stringify; ill-formed strings are repaired for the whole payload at once
// in fixUTF8, where ValidateString would check it again after every argument.
const encodeOptions = encoder.NoEncoderNewline

// library writes v by means of the JSON library.
func (e *jsonEncoder) library(v any) error {
	return encoder.EncodeInto(&e.text, v, encodeOptions)
}

// EncodeEvent implements Parser.
func (jsonParser) EncodeEvent(nsp string, id int64, event string, args []any) (_ *pool.Frame, err error) {
	if Reserved(event) {
		return nil, ErrReservedEvent
	}
	e := encoders.Get().(*jsonEncoder)
	defer e.done(&err)
	if err := e.args(&event, args); err != nil {
		return nil, err
	}
	return e.finish(Event, nsp, uint64(max(id, 0)), id >= 0), nil
}

// EncodeAck implements Parser.
func (jsonParser) EncodeAck(nsp string, id uint64, args []any) (_ *pool.Frame, err error) {
	e := encoders.Get().(*jsonEncoder)
	defer e.done(&err)
	if err := e.args(nil, args); err != nil {
		return nil, err
	}
	return e.finish(Ack, nsp, id, true), nil
}

// EncodeConnect implements Parser.
//
//	40/chat,{"sid":"…","pid":"…"}
func (jsonParser) EncodeConnect(nsp, sid, pid string) *pool.Frame {
	e := encoders.Get().(*jsonEncoder)
	defer e.free()
	e.text = append(e.text, `{"sid":`...)
	e.text = appendString(e.text, sid)
	if pid != "" {
		e.text = append(e.text, `,"pid":`...)
		e.text = appendString(e.text, pid)
	}
	e.text = append(e.text, '}')
	return e.finish(Connect, nsp, 0, false)
}

// EncodeConnectError implements Parser. A []byte in data becomes base64: this
// packet has no binary form.
//
//	44/chat,{"message":"…","data":…}
func (jsonParser) EncodeConnectError(nsp, message string, data any) (_ *pool.Frame, err error) {
	e := encoders.Get().(*jsonEncoder)
	defer e.done(&err)
	e.text = append(e.text, `{"message":`...)
	e.text = appendString(e.text, message)
	if data != nil {
		e.text = append(e.text, `,"data":`...)
		if err := e.library(data); err != nil {
			return nil, fmt.Errorf("codec: connect error data: %w", err)
		}
	}
	e.text = append(e.text, '}')
	return e.finish(ConnectError, nsp, 0, false), nil
}

var disconnectRoot = staticText("41")

// EncodeDisconnect implements Parser.
//
//	41/chat,
func (jsonParser) EncodeDisconnect(nsp string) *pool.Frame {
	if nsp == "/" || nsp == "" {
		return disconnectRoot
	}
	return new(jsonEncoder).finish(Disconnect, nsp, 0, false)
}

// appendString appends s as a JSON string with the escapes JSON requires and no
// others. Ill-formed UTF-8 passes; fixUTF8 repairs the whole payload.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for {
		n := plainLen(s)
		dst = append(dst, s[:n]...)
		if n == len(s) {
			return append(dst, '"')
		}
		c := s[n]
		s = s[n+1:]
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
}

// appendPlaceholder appends the object that stands for attachment num.
func appendPlaceholder(dst []byte, num int) []byte {
	dst = append(dst, `{"_placeholder":true,"num":`...)
	return append(strconv.AppendInt(dst, int64(num), 10), '}')
}
