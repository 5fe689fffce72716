package codec

import (
	"fmt"

	"github.com/gobwas/ws"
	"github.com/tinylib/msgp/msgp"

	"github.com/epio-go/epio/pool"
)

// Msgpack is the parser of the npm package socket.io-msgpack-parser 3: each packet
// is one msgpack map in one binary message, with binary values where they belong.
//
//	{"type":2,"nsp":"/chat","data":["hello",1],"id":12}
//
// Values are encoded under the same names and with the same meaning as by [JSON].
// The differences are those the JavaScript side has between its two parsers: a
// []byte stays where it is, a time.Time is a Date (to the millisecond; both ways,
// and as such in interface values), NaN and the infinities can be sent, and
// undefined, which decodes as null does, is told from null on the wire.
//
// A type with the generated methods of github.com/tinylib/msgp is encoded and
// decoded by them. Have them generated with the directive "msgp:tag json", or
// names will differ between the two formats. Methods must copy what they keep, so
// the generator's option for decoding without copies must not be used. JavaScript
// sends 2.0 as the integer 2, which generated code refuses for a float; if it does,
// it is called again with what is meant for floats written as such.
//
// A type whose only methods are those of encoding/json or encoding gets and gives
// JSON, which is converted; json.RawMessage is one of these. [msgp.Raw] is msgpack
// that is passed on as it is, after a check.
//
// Source: https://github.com/socketio/socket.io-msgpack-parser, and
// https://github.com/darrachequesne/notepack for the encoding of values. Unlike
// the former we refuse reserved event names and events without a name, as JSON
// does.
var Msgpack Parser = msgpackParser{}

type msgpackParser struct{}

// Names of this format's parts begin with mp.

// Name implements Parser.
func (msgpackParser) Name() string { return "msgpack" }

// NewDecoder implements Parser.
func (msgpackParser) NewDecoder(l *Limits) Decoder { return &msgpackDecoder{limits: l} }

// packet begins a packet with a further number of members.
func (e *mpEncoder) packet(t Type, nsp string, members byte) {
	if nsp == "" {
		nsp = "/"
	}
	e.b = append(e.b, 0x80|(2+members))
	e.b = append(e.b, "\xa4type"...)
	e.b = append(e.b, byte(t))
	e.b = append(e.b, "\xa3nsp"...)
	e.b = mpAppendString(e.b, nsp)
}

// args writes the member data of an EVENT (with its name) or an ACK.
func (e *mpEncoder) args(event *string, args []any) error {
	n := len(args)
	if event != nil {
		n++
	}
	e.b = append(e.b, "\xa4data"...)
	e.b = msgp.AppendArrayHeader(e.b, uint32(n))
	if event != nil {
		e.b = mpAppendString(e.b, *event)
	}
	for i, v := range args {
		if err := e.value(v, 0); err != nil {
			return fmt.Errorf("codec: argument %d: %w", i, err)
		}
	}
	return nil
}

func (e *mpEncoder) id(id uint64) {
	e.b = append(e.b, "\xa2id"...)
	e.b = msgp.AppendUint64(e.b, id)
}

// finish returns the packet as a frame of exactly its size.
func (e *mpEncoder) finish() *pool.Frame {
	b := pool.Get(wsHeaderLen(len(e.b)) + len(e.b))
	b.B = append(AppendWSHeader(b.B, ws.OpBinary, len(e.b)), e.b...)
	return b.Seal(0)
}

// EncodeEvent implements Parser.
func (msgpackParser) EncodeEvent(nsp string, id int64, event string, args []any) (_ *pool.Frame, err error) {
	if Reserved(event) {
		return nil, ErrReservedEvent
	}
	e := mpEncoders.Get().(*mpEncoder)
	defer e.done(&err)
	if id < 0 {
		e.packet(Event, nsp, 1)
	} else {
		e.packet(Event, nsp, 2)
		e.id(uint64(id))
	}
	if err := e.args(&event, args); err != nil {
		return nil, err
	}
	return e.finish(), nil
}

// EncodeAck implements Parser.
func (msgpackParser) EncodeAck(nsp string, id uint64, args []any) (_ *pool.Frame, err error) {
	e := mpEncoders.Get().(*mpEncoder)
	defer e.done(&err)
	e.packet(Ack, nsp, 2)
	e.id(id)
	if err := e.args(nil, args); err != nil {
		return nil, err
	}
	return e.finish(), nil
}

// EncodeConnect implements Parser.
//
//	{"type":0,"nsp":"/chat","data":{"sid":"…","pid":"…"}}
func (msgpackParser) EncodeConnect(nsp, sid, pid string) *pool.Frame {
	e := mpEncoders.Get().(*mpEncoder)
	defer e.free()
	e.packet(Connect, nsp, 1)
	e.b = append(e.b, "\xa4data"...)
	if pid == "" {
		e.b = append(e.b, 0x81)
	} else {
		e.b = append(e.b, "\x82\xa3pid"...)
		e.b = mpAppendString(e.b, pid)
	}
	e.b = append(e.b, "\xa3sid"...)
	e.b = mpAppendString(e.b, sid)
	return e.finish()
}

// EncodeConnectError implements Parser.
//
//	{"type":4,"nsp":"/chat","data":{"message":"…","data":…}}
func (msgpackParser) EncodeConnectError(nsp, message string, data any) (_ *pool.Frame, err error) {
	e := mpEncoders.Get().(*mpEncoder)
	defer e.done(&err)
	e.packet(ConnectError, nsp, 1)
	e.b = append(e.b, "\xa4data"...)
	if data == nil {
		e.b = append(e.b, 0x81)
	} else {
		e.b = append(e.b, "\x82\xa4data"...)
		if err := e.value(data, 0); err != nil {
			return nil, fmt.Errorf("codec: connect error data: %w", err)
		}
	}
	e.b = append(e.b, "\xa7message"...)
	e.b = mpAppendString(e.b, message)
	return e.finish(), nil
}

// EncodeDisconnect implements Parser.
//
//	{"type":1,"nsp":"/chat"}
func (msgpackParser) EncodeDisconnect(nsp string) *pool.Frame {
	e := mpEncoders.Get().(*mpEncoder)
	defer e.free()
	e.packet(Disconnect, nsp, 0)
	return e.finish()
}
