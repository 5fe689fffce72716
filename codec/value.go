package codec

import (
	"errors"
	"iter"
	"unicode/utf8"
)

// Value is one value that a server got from another one: JSON text or msgpack that
// has been checked, but not decoded. It is the means of looking into a message
// before paying for its content: finding a member takes no memory but for its name.
//
// A Value refers to the bytes it was made from and is as long valid as they are. The
// zero Value is null. Values may be used concurrently.
type Value struct {
	p    []byte // exactly this value; empty for null
	text bool   // it is JSON
}

// ValueKind tells values apart.
type ValueKind uint8

// Kinds of values. JSON has no binary and no dates.
const (
	NullValue ValueKind = iota // or JavaScript's undefined
	BoolValue
	NumberValue
	StringValue
	BinaryValue
	DateValue
	ListValue
	ObjectValue
	// UnknownValue is an extension of msgpack without a meaning here.
	UnknownValue
)

// maxValues bounds how many values [Value.Any] decodes. Each takes up to some 110
// bytes, although it may be a single one on the wire.
const maxValues = 4 << 20

// ErrTooManyValues is returned by [Value.Any] for a value that has more parts than
// can be decoded with bounded memory.
var ErrTooManyValues = errors.New("codec: too many values in one message")

// ScanJSON checks that p is one JSON value with at most depth levels of nesting. It
// borrows p for as long as the value is used, unless p is not UTF-8, which is repaired
// in a copy. The error is a *ProtocolError.
func ScanJSON(p []byte, depth int) (Value, error) {
	if !utf8.Valid(p) {
		p = toValidUTF8(p)
	}
	s := scanner{p: p, depth: depth}
	if _, err := s.top(0); err != nil {
		return Value{}, err
	}
	return Value{p: p[s.args[0].off:s.args[0].end], text: true}, nil
}

// ScanMsgpack checks that p is one value of msgpack with at most depth levels of
// nesting and nothing behind it. It borrows p for as long as the value is used. The
// error is a *ProtocolError.
func ScanMsgpack(p []byte, depth int) (Value, error) {
	w := mpWalker{p: p, depth: depth, room: len(p)}
	end := w.value(0)
	if end < 0 {
		return Value{}, mpError(end)
	}
	if end != len(p) {
		return Value{}, ErrPayload
	}
	if w.illFormed {
		p = mpRewritten(p, mpRepair)
	}
	return Value{p: p}, nil
}

// Len returns the length of v on the wire.
func (v Value) Len() int { return len(v.p) }

// Kind returns what v is.
func (v Value) Kind() ValueKind {
	if len(v.p) == 0 {
		return NullValue
	}
	if v.text {
		switch v.p[0] {
		case 'n':
			return NullValue
		case 't', 'f':
			return BoolValue
		case '"':
			return StringValue
		case '[':
			return ListValue
		case '{':
			return ObjectValue
		}
		return NumberValue
	}
	t, _ := mpNext(v.p, 0)
	switch t.kind {
	case mpBool:
		return BoolValue
	case mpUint, mpInt, mpFloat:
		return NumberValue
	case mpStr:
		return StringValue
	case mpBin:
		return BinaryValue
	case mpArray:
		return ListValue
	case mpMap:
		return ObjectValue
	case mpExt:
		if t.undefined() {
			return NullValue
		}
		if _, ok := t.bytes(); ok {
			return BinaryValue
		}
		if _, ok := t.time(); ok {
			return DateValue
		}
		return UnknownValue
	}
	return NullValue
}

// Bool returns a boolean.
func (v Value) Bool() (b, ok bool) {
	if v.Kind() != BoolValue {
		return false, false
	}
	if v.text {
		return v.p[0] == 't', true
	}
	return v.p[0] == 0xc3, true
}

// Text returns a string, a copy.
func (v Value) Text() (s string, ok bool) {
	if v.Kind() != StringValue {
		return "", false
	}
	if v.text {
		return jsonText(v.p), true
	}
	t, _ := mpNext(v.p, 0)
	return string(t.data), true
}

// Int returns a number that is whole and fits, however it was written.
func (v Value) Int() (n int64, ok bool) {
	if v.Kind() != NumberValue {
		return 0, false
	}
	if v.text {
		return jsonInt(v.p)
	}
	t, _ := mpNext(v.p, 0)
	return t.int()
}

// Name returns a string, or a number in the spelling JavaScript gives it when it
// becomes a string: what may stand for a name there.
func (v Value) Name() (s string, ok bool) {
	switch v.Kind() {
	case StringValue:
		return v.Text()
	case NumberValue:
		if v.text {
			return string(jsNumber(v.p)), true
		}
		t, _ := mpNext(v.p, 0)
		return t.name(), true
	}
	return "", false
}

// Members iterates over the members of an object in the order of the wire; those
// of anything else are none. The last of several members of one name is the one that
// counts in JavaScript. Numbers as names are spelled as there.
func (v Value) Members() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		switch {
		case v.Kind() != ObjectValue:
		case v.text:
			jsonMembers(v.p, yield)
		default:
			mpMembers(v.p, yield)
		}
	}
}

// Elements iterates over the elements of a list; those of anything else are none.
func (v Value) Elements() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		switch {
		case v.Kind() != ListValue:
		case v.text:
			jsonElements(v.p, yield)
		default:
			mpElements(v.p, yield)
		}
	}
}

// Any decodes v into the types that arguments of events decode to, see [In.Decode].
// What differs is meant for servers that pass values on: whole numbers beyond 2^53,
// which float64 cannot hold, become int64, uint64 or, if they do not fit either, a
// json.Number; NaN and the infinities, which JSON does not have, become nil. The
// result does not refer to the message.
//
// It returns ErrTooManyValues instead of taking memory without bound.
func (v Value) Any() (any, error) {
	left := maxValues
	return v.decode(&left)
}

// AnyList decodes the elements of a list, which is nil for anything else; see Any.
func (v Value) AnyList() ([]any, error) {
	if v.Kind() != ListValue {
		return nil, nil
	}
	a, err := v.Any()
	if err != nil {
		return nil, err
	}
	return a.([]any), nil
}

func (v Value) decode(left *int) (any, error) {
	switch {
	case len(v.p) == 0:
		return nil, nil
	case v.text:
		d := jsonAnyDecoder{p: v.p, left: *left}
		a := d.value()
		if *left = d.left; d.left < 0 {
			return nil, ErrTooManyValues
		}
		return a, nil
	}
	d := mpAnyDecoder{p: v.p, left: *left}
	a := d.value()
	if *left = d.left; d.left < 0 {
		return nil, ErrTooManyValues
	}
	return a, nil
}
