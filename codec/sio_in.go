package codec

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"github.com/epio-go/epio/internal/invariants"
	"github.com/epio-go/epio/pool"
)

// In is one complete incoming Socket.IO packet. It owns its memory, which is
// pooled: whoever holds it ends with Release, and no slice obtained from it may
// be used afterwards. Clone makes a copy that lives as long as it is referenced.
//
// An In is read only. Its methods, except Release, may be used concurrently.
type In struct {
	// Type is Connect, Disconnect, Event or Ack (or ConnectError, for clients).
	Type Type
	// HasID says whether ID was present. An Ack without one answers nothing.
	HasID bool
	// HasPayload is false for a packet that ends before its payload: a bare CONNECT,
	// an ACK that carries nothing (to be ignored), or an EVENT without even a name,
	// for which only catch-all handlers run.
	HasPayload bool

	cloned   bool // garbage collected; Release does nothing
	released bool // test builds
	exts     bool // msgpack: there are extensions

	// ID is the acknowledgement id.
	ID uint64
	// Namespace is the name with its leading slash; a query belongs to the name.
	Namespace []byte

	wire  wire      // how arguments are decoded
	buf   *pool.Buf // holds the message; nil when nothing of it is needed
	event []byte    // decoded name, within buf
	args  []span    // arguments, or the one payload of CONNECT, within buf

	attachments []*pool.Buf
	refs        []placeholder // in order of position
	maxBytes    int           // Limits.MaxAttachmentBytes
}

// wire is the part of a format that an In needs after it was received.
type wire interface {
	// decode stores argument i, which exists, in *v.
	decode(in *In, i int, v any) error
}

// span is a part of In.buf, as offsets.
type span struct{ off, end uint32 }

// placeholder is an object that stands for an attachment.
type placeholder struct {
	span
	num int32
	arg int32 // index into In.args
}

// root is the default namespace. It is shared: nobody writes to In.Namespace.
var root = []byte("/")[:1:1]

var ins = sync.Pool{New: func() any { return new(In) }}

func newIn() *In { return ins.Get().(*In) }

// Release gives the memory back. It must be called exactly once, except on a
// clone, where it does nothing.
func (in *In) Release() {
	if in.cloned {
		return
	}
	if invariants.Enabled && in.released {
		panic("codec: packet released twice")
	}
	if in.buf != nil {
		in.buf.Release()
	}
	for i, a := range in.attachments {
		a.Release()
		in.attachments[i] = nil
	}
	args, atts, refs := in.args[:0], in.attachments[:0], in.refs[:0]
	*in = In{}
	if invariants.Enabled {
		// The struct itself stays out of circulation, so that any later use is seen.
		in.released = true
		return
	}
	// What one odd packet needed does not stay resident.
	if cap(args) <= 64 {
		in.args = args
	}
	if cap(atts) <= 64 {
		in.attachments = atts
	}
	if cap(refs) <= 64 {
		in.refs = refs
	}
	ins.Put(in)
}

// Clone returns a copy that needs no Release and owns ordinary memory.
func (in *In) Clone() *In {
	in.check()
	c := *in
	c.cloned = true
	if in.buf != nil {
		c.buf = &pool.Buf{B: bytes.Clone(in.buf.B)}
	}
	c.event = bytes.Clone(in.event)
	c.Namespace = bytes.Clone(in.Namespace)
	c.args = slices.Clone(in.args)
	c.refs = slices.Clone(in.refs)
	c.attachments = slices.Clone(in.attachments)
	for i, a := range c.attachments {
		c.attachments[i] = &pool.Buf{B: bytes.Clone(a.B)}
	}
	return &c
}

func (in *In) check() {
	if invariants.Enabled && in.released {
		panic("codec: packet used after its release")
	}
}

// Event returns the event name, empty for other packets and for an EVENT without
// payload. It is an alias of the packet's memory. A numeric name, which the
// protocol allows, is given in its JavaScript spelling.
func (in *In) Event() []byte {
	in.check()
	return in.event
}

// Len returns the number of arguments: those after the name for an EVENT, all
// for an ACK, 0 otherwise.
func (in *In) Len() int {
	in.check()
	if in.Type != Event && in.Type != Ack {
		return 0
	}
	return len(in.args)
}

// Raw returns argument i as it was received, an alias of the packet's memory: in
// the JSON format a valid JSON value, in which placeholder objects stand for
// attachments; in the msgpack format a complete msgpack value with everything in
// it. It panics when i is out of range.
func (in *In) Raw(i int) []byte {
	if i < 0 || i >= in.Len() {
		panic(fmt.Sprintf("codec: argument %d of %d", i, in.Len()))
	}
	return in.raw(i)
}

func (in *In) raw(i int) []byte {
	s := in.args[i]
	return in.buf.B[s.off:s.end:s.end]
}

// Data returns the payload of a CONNECT or CONNECT_ERROR as it was received, an
// alias of the packet's memory; nil when there is none.
func (in *In) Data() []byte {
	in.check()
	if (in.Type != Connect && in.Type != ConnectError) || !in.HasPayload {
		return nil
	}
	return in.raw(0)
}

// Attachments returns how many attachments came with the packet: none in the
// msgpack format, where binary is part of the arguments.
func (in *In) Attachments() int {
	in.check()
	return len(in.attachments)
}

// Attachment returns attachment i, an alias of the packet's memory.
func (in *In) Attachment(i int) []byte {
	in.check()
	return in.attachments[i].B
}

// Size returns the bytes the packet holds, for the accounting of queues.
func (in *In) Size() int {
	in.check()
	n := 0
	if in.buf != nil {
		n = cap(in.buf.B)
	}
	for _, a := range in.attachments {
		n += cap(a.B)
	}
	return n + 8*len(in.args) + 16*len(in.refs)
}

// Decode stores argument i in the value v points to. Like a missing argument in
// JavaScript, which is undefined, one beyond the last leaves *v alone and is no
// error. Null does what it does in encoding/json. Numbers decode into interface
// values as float64. An attachment decodes into []byte and into interface values
// (as []byte). The msgpack format adds to that: undefined is null, and a Date
// decodes into time.Time and into interface values (as time.Time).
//
// The decoded value owns its memory: nothing in it refers to the packet. Within
// one argument, values that stand for the same attachment share one slice, as
// they do in JavaScript.
//
// The error is a *DecodeError.
func (in *In) Decode(i int, v any) error {
	if i < 0 {
		panic("codec: negative argument index")
	}
	if i >= in.Len() {
		return nil
	}
	if err := checkTarget(v); err != nil {
		return &DecodeError{Arg: i, Type: reflect.TypeOf(v), Err: err}
	}
	return in.wire.decode(in, i, v)
}

// DecodeData stores the payload of a CONNECT or CONNECT_ERROR in the value v
// points to, and leaves it alone when there is none. See Decode.
func (in *In) DecodeData(v any) error {
	if in.Data() == nil {
		return nil
	}
	if err := checkTarget(v); err != nil {
		return &DecodeError{Arg: -1, Type: reflect.TypeOf(v), Err: err}
	}
	err := in.wire.decode(in, 0, v)
	if e, ok := errors.AsType[*DecodeError](err); ok {
		e.Arg = -1
	}
	return err
}

var errTarget = errors.New("target is not a non-nil pointer")

func checkTarget(v any) error {
	if rv := reflect.ValueOf(v); rv.Kind() != reflect.Pointer || rv.IsNil() {
		return errTarget
	}
	return nil
}
