package codec

import "unicode/utf8"

// AppendJSON appends v as JSON text, encoded as an argument of an event is. When
// there is binary in v, which JSON text cannot hold, it reports that and appends
// nothing. It borrows v.
func AppendJSON(dst []byte, v any) (out []byte, binary bool, err error) {
	e := encoders.Get().(*jsonEncoder)
	out = dst // if v panics
	defer e.done(&err)
	if err := e.value(v); err != nil {
		return dst, false, err
	}
	if len(e.attachments) > 0 {
		return dst, true, nil
	}
	e.fixUTF8()
	return append(dst, e.text...), false, nil
}

// AppendMsgpack appends v as msgpack between servers: as an argument of an event is
// encoded by [Msgpack], except that extensions which only its clients know are
// written in the format's own types, so that a time.Time is a timestamp (type -1). It
// borrows v.
func AppendMsgpack(dst []byte, v any) (out []byte, err error) {
	e := mpEncoders.Get().(*mpEncoder)
	out = dst // if v panics
	defer e.done(&err)
	if err := e.value(v, 0); err != nil {
		return dst, err
	}
	w := mpWalker{}
	if err := w.own(e.b); err != nil {
		return dst, err
	}
	if w.exts {
		return append(dst, mpRewritten(e.b, mpForMethods)...), nil
	}
	return append(dst, e.b...), nil
}

// AppendJSONString appends s as a JSON string.
func AppendJSONString(dst []byte, s string) []byte {
	from := len(dst)
	dst = appendString(dst, s)
	if p := dst[from:]; !utf8.Valid(p) {
		dst = append(dst[:from], toValidUTF8(p)...)
	}
	return dst
}

// AppendMsgpackString appends s as a string of msgpack.
func AppendMsgpackString(dst []byte, s string) []byte { return mpAppendString(dst, s) }
