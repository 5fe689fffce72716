package cluster

import (
	"errors"
	"strconv"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/codec"
)

// Format is how a value is written.
type Format uint8

const (
	// JSON is JSON text. It cannot hold binary.
	JSON Format = iota
	// Msgpack is msgpack as all of the reference's libraries read it: string keys,
	// integers in the smallest form, timestamps as extension -1.
	Msgpack
)

// ErrBinary is returned for a message in JSON that holds binary.
var ErrBinary = errors.New("adapter/cluster: binary in JSON")

// Writer writes messages in either format, member by member. It is exported for
// drivers whose wire format differs from the envelope of this package. The first error
// sticks: what is written after it does not matter.
//
//	w := Writer{Format: JSON}
//	w.Object(2)
//	w.Key("type")
//	w.Int(3)
//	w.Key("data")
//	w.List(1)
//	w.Value("hello")
//	w.EndList()
//	w.EndObject()
//	p, err := w.Bytes()
type Writer struct {
	Format Format
	b      []byte
	err    error
}

// smallMessage is room enough for most messages.
const smallMessage = 256

// NewWriter returns a Writer with room for a small message.
func NewWriter(f Format) *Writer { return &Writer{Format: f, b: make([]byte, 0, smallMessage)} }

// Bytes returns what was written.
func (w *Writer) Bytes() ([]byte, error) { return w.b, w.err }

// Object begins an object with n members, which EndObject ends.
func (w *Writer) Object(n int) {
	w.comma()
	if w.Format == JSON {
		w.b = append(w.b, '{')
		return
	}
	w.b = msgp.AppendMapHeader(w.b, uint32(n))
}

// EndObject ends an object.
func (w *Writer) EndObject() {
	if w.Format == JSON {
		w.b = append(w.b, '}')
	}
}

// List begins a list with n elements, which EndList ends.
func (w *Writer) List(n int) {
	w.comma()
	if w.Format == JSON {
		w.b = append(w.b, '[')
		return
	}
	w.b = msgp.AppendArrayHeader(w.b, uint32(n))
}

// EndList ends a list.
func (w *Writer) EndList() {
	if w.Format == JSON {
		w.b = append(w.b, ']')
	}
}

// comma separates elements and members in JSON. Whether there is something to
// separate is seen from the last byte: these three end nothing.
func (w *Writer) comma() {
	if w.Format != JSON || len(w.b) == 0 {
		return
	}
	switch w.b[len(w.b)-1] {
	case '{', '[', ':':
	default:
		w.b = append(w.b, ',')
	}
}

// Key writes the name of a member.
func (w *Writer) Key(name string) {
	w.String(name)
	if w.Format == JSON {
		w.b = append(w.b, ':')
	}
}

// String writes a string.
func (w *Writer) String(s string) {
	w.comma()
	if w.Format == JSON {
		w.b = codec.AppendJSONString(w.b, s)
		return
	}
	w.b = codec.AppendMsgpackString(w.b, s)
}

// Strings writes a list of strings.
func (w *Writer) Strings(list []string) {
	w.List(len(list))
	for _, s := range list {
		w.String(s)
	}
	w.EndList()
}

// Int writes a number.
func (w *Writer) Int(n int64) {
	w.comma()
	switch {
	case w.Format == JSON:
		w.b = strconv.AppendInt(w.b, n, 10)
	case n >= 0:
		w.b = msgp.AppendUint64(w.b, uint64(n))
	default:
		w.b = msgp.AppendInt64(w.b, n)
	}
}

// Bool writes a boolean.
func (w *Writer) Bool(v bool) {
	w.comma()
	if w.Format == JSON {
		w.b = strconv.AppendBool(w.b, v)
		return
	}
	w.b = msgp.AppendBool(w.b, v)
}

// Value writes a value of the application, borrowed. In JSON, binary in it is
// ErrBinary.
func (w *Writer) Value(v any) {
	w.comma()
	if w.err != nil {
		return
	}
	if w.Format == Msgpack {
		w.b, w.err = codec.AppendMsgpack(w.b, v)
		return
	}
	var binary bool
	if w.b, binary, w.err = codec.AppendJSON(w.b, v); binary {
		w.err = ErrBinary
	}
}

// Event writes an event with its arguments as the list the reference calls the data
// of a packet.
func (w *Writer) Event(event string, args []any) {
	w.List(1 + len(args))
	w.String(event)
	for _, a := range args {
		w.Value(a)
	}
	w.EndList()
}

// Packet writes the packet of a broadcast, without namespace when nsp is empty.
//
//	{"type":2,"data":["hello",1],"nsp":"/chat"}
func (w *Writer) Packet(event string, args []any, nsp string) {
	members := 2
	if nsp != "" {
		members++
	}
	w.Object(members)
	w.Key("type")
	w.Int(packetEvent)
	w.Key("data")
	w.Event(event, args)
	if nsp != "" {
		w.Key("nsp")
		w.String(nsp)
	}
	w.EndObject()
}

// Opts writes a selection. Its flag Local is not for others, who do not get the
// message in the first place.
//
//	{"rooms":["r"],"except":[],"flags":{"volatile":true}}
func (w *Writer) Opts(o *adapter.Opts, flags bool) {
	members := 2
	if flags {
		members++
	}
	w.Object(members)
	w.Key("rooms")
	w.Strings(o.Rooms)
	w.Key("except")
	except := o.Except
	if o.ExceptID != "" {
		except = append(except[:len(except):len(except)], o.ExceptID)
	}
	w.Strings(except)
	if flags {
		w.Key("flags")
		w.flags(o)
	}
	w.EndObject()
}

func (w *Writer) flags(o *adapter.Opts) {
	n := 0
	for _, f := range []adapter.Flags{adapter.Volatile, adapter.NoCompress, adapter.Single} {
		if o.Flags.Has(f) {
			n++
		}
	}
	if o.Timeout > 0 {
		n++
	}
	w.Object(n)
	if o.Flags.Has(adapter.Volatile) {
		w.Key("volatile")
		w.Bool(true)
	}
	if o.Flags.Has(adapter.NoCompress) {
		w.Key("compress")
		w.Bool(false)
	}
	if o.Timeout > 0 {
		w.Key("timeout")
		w.Int(max(1, int64(o.Timeout/time.Millisecond)))
	}
	if o.Flags.Has(adapter.Single) {
		w.Key("expectSingleResponse")
		w.Bool(true)
	}
	w.EndObject()
}

// Sockets writes descriptions of sockets.
func (w *Writer) Sockets(sockets []adapter.SocketInfo) {
	w.List(len(sockets))
	for i := range sockets {
		s := sockets[i]
		if s.Rooms == nil {
			s.Rooms = []string{}
		}
		// In JavaScript a socket's data is an object from the start, and programs
		// read members of it without asking.
		if s.Data == nil {
			s.Data = struct{}{}
		}
		if s.Handshake != nil && (s.Handshake.Headers == nil || s.Handshake.Query == nil || s.Handshake.Auth == nil) {
			h := *s.Handshake
			if h.Headers == nil {
				h.Headers = map[string]any{}
			}
			if h.Query == nil {
				h.Query = map[string]any{}
			}
			if h.Auth == nil {
				h.Auth = struct{}{}
			}
			s.Handshake = &h
		}
		w.Value(&s)
	}
	w.EndList()
}

// packetEvent is the type of all packets in transit, with and without binary.
const packetEvent = 2
