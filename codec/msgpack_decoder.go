package codec

import (
	"math"
	"strconv"

	"github.com/epio-go/epio/pool"
)

// msgpackDecoder implements Decoder. A packet is one message, so it holds nothing.
type msgpackDecoder struct{ limits *Limits }

// Outstanding implements Decoder.
func (*msgpackDecoder) Outstanding() int { return 0 }

// Held implements Decoder.
func (*msgpackDecoder) Held() int { return 0 }

// Close implements Decoder.
func (*msgpackDecoder) Close() {}

// Text implements Decoder.
func (*msgpackDecoder) Text([]byte) (*In, error) { return nil, ErrUnexpectedText }

// Binary implements Decoder.
func (d *msgpackDecoder) Binary(p []byte) (*In, error) {
	if len(p) > math.MaxInt32 {
		return nil, ErrTooLarge
	}
	in := newIn()
	illFormed, err := d.parse(in, p)
	if err == nil && illFormed {
		_, err = d.parse(in, mpRewritten(p, mpRepair))
	}
	if err != nil {
		in.Release()
		return nil, err
	}
	return in, nil
}

// mpHeader holds the members of a packet that matter. Of several of one name the
// last counts, as in JavaScript.
type mpHeader struct {
	typ, nsp, data, id              mpToken
	hasType, hasNsp, hasData, hasID bool

	dataAt span // where the value of data is
	nspEnd int  // where that of nsp ends
}

// parse fills in from p, unless there are strings to be repaired first.
func (d *msgpackDecoder) parse(in *In, p []byte) (illFormed bool, err error) {
	w := mpWalker{p: p, depth: d.limits.maxDepth(), room: d.limits.maxAttachmentBytes()}
	var h mpHeader
	if err = d.members(&h, &w, in); err != nil || w.illFormed {
		return true, err
	}
	typ, ok := h.typ.uint()
	if !h.hasType || !ok || typ > uint64(ConnectError) {
		return false, ErrType
	}
	in.Type = Type(typ)
	if in.Type == ConnectError && (d.limits == nil || !d.limits.Client) {
		return false, ErrConnectError
	}
	if !h.hasNsp || h.nsp.kind != mpStr || len(h.nsp.data) == 0 || h.nsp.data[0] != '/' {
		return false, ErrPayload
	}
	if h.hasID && !h.id.undefined() {
		if in.ID, in.HasID = h.id.uint(); !in.HasID {
			return false, ErrID
		}
	}
	in.HasPayload = h.hasData && !h.data.undefined()
	if !mpPayloadFits(in.Type, in.HasPayload, h.data.kind) {
		return false, ErrPayload
	}
	if in.Type == Connect || in.Type == ConnectError {
		in.args = append(in.args[:0], h.dataAt)
	}
	in.wire = msgpackWire{}
	in.exts = w.exts

	// From here on p is a copy, where one is needed at all.
	in.Namespace = root
	other := len(h.nsp.data) > 1
	if in.HasPayload || other {
		in.buf = pool.Copy(p)
		if other {
			in.Namespace = in.buf.B[h.nspEnd-len(h.nsp.data) : h.nspEnd]
		}
	}
	if in.Type == Event {
		return false, in.takeMsgpackName()
	}
	return false, nil
}

// mpPayloadFits reports whether a packet of type t may have such data.
func mpPayloadFits(t Type, has bool, kind mpKind) bool {
	switch t {
	case Connect:
		return !has || kind == mpMap
	case Disconnect:
		return !has
	case ConnectError:
		return has && (kind == mpMap || kind == mpStr)
	default:
		return has && kind == mpArray
	}
}

// members walks over the packet, which must be one map, and fills in h and the
// places of the elements of its data.
func (d *msgpackDecoder) members(h *mpHeader, w *mpWalker, in *In) error {
	top, i := mpNext(w.p, 0)
	if i < 0 || top.kind != mpMap {
		return ErrPayload
	}
	for range top.n {
		var key mpToken
		if key, i = w.key(i); i < 0 {
			return mpError(i)
		}
		from := i
		var t mpToken
		if t, i = mpNext(w.p, i); i < 0 {
			return mpError(i)
		}
		isData := key.kind == mpStr && string(key.data) == "data"
		if isData && t.kind == mpArray {
			i = d.elements(&t, i, w, in)
		} else {
			i = w.rest(&t, i)
		}
		if i < 0 {
			return mpError(i)
		}
		switch {
		case isData:
			h.data, h.hasData, h.dataAt = t, true, span{uint32(from), uint32(i)}
		case key.kind != mpStr:
		case string(key.data) == "type":
			h.typ, h.hasType = t, true
		case string(key.data) == "nsp":
			h.nsp, h.hasNsp, h.nspEnd = t, true, i
		case string(key.data) == "id":
			h.id, h.hasID = t, true
		}
	}
	if i != len(w.p) {
		return ErrPayload
	}
	return nil
}

// elements walks over the array of arguments and notes where they are.
func (d *msgpackDecoder) elements(t *mpToken, i int, w *mpWalker, in *In) int {
	w.depth-- // at least one level is always allowed
	in.args = in.args[:0]
	for range t.n {
		from := i
		if i = w.value(i); i < 0 {
			return i
		}
		in.args = append(in.args, span{uint32(from), uint32(i)})
	}
	w.depth++
	return i
}

// takeMsgpackName makes the first argument the event name.
func (in *In) takeMsgpackName() error {
	if len(in.args) == 0 {
		return ErrPayload
	}
	t, _ := mpNext(in.raw(0), 0)
	switch t.kind {
	case mpStr:
		in.event = t.data
		if Reserved(in.event) {
			return ErrReservedName
		}
	case mpUint, mpInt, mpFloat:
		in.event = mpNumberName(&t)
	default:
		return ErrPayload
	}
	in.args = in.args[:copy(in.args, in.args[1:])]
	return nil
}

// mpNumberName returns a number in the spelling JavaScript gives it when it
// becomes a property name.
func mpNumberName(t *mpToken) []byte {
	f, _ := t.float()
	switch {
	case math.IsNaN(f):
		return []byte("NaN")
	case math.IsInf(f, 1):
		return []byte("Infinity")
	case math.IsInf(f, -1):
		return []byte("-Infinity")
	}
	return jsNumber(strconv.AppendFloat(nil, f, 'g', -1, 64))
}
