package codec

import (
	"encoding/binary"
	"time"

	"github.com/tinylib/msgp/msgp"
)

// mpRewrite says what mpRewritten changes.
type mpRewrite uint8

const (
	// mpForPeers: ill-formed strings, which a browser refuses, are repaired, and
	// timestamps become Dates.
	mpForPeers mpRewrite = iota
	// mpRepair only repairs strings.
	mpRepair
	// mpForMethods: what generated code does not know is written in the format's
	// own types: undefined, Date and ArrayBuffer.
	mpForMethods
)

// mpRewritten returns a copy of p, which the walker has accepted, with some
// scalars written differently. Values follow each other in p without any frame
// around them, so arrays and maps need no attention.
func mpRewritten(p []byte, what mpRewrite) []byte {
	out := make([]byte, 0, len(p)+len(p)/8+16)
	for i := 0; i < len(p); {
		t, end := mpNext(p, i)
		raw := p[i:end]
		i = end
		switch {
		case t.kind == mpStr && what != mpForMethods:
			out = mpAppendString(out, t.data)
		case t.kind == mpExt && what == mpForPeers:
			if at, ok := t.time(); ok {
				out = mpAppendDate(out, at)
				break
			}
			out = append(out, raw...)
		case t.kind == mpExt && what == mpForMethods:
			out = mpAppendStandard(out, &t, raw)
		default:
			out = append(out, raw...)
		}
	}
	return out
}

// mpAppendStandard appends an extension of JavaScript in the format's own types.
func mpAppendStandard(dst []byte, t *mpToken, raw []byte) []byte {
	if t.ext != 0 {
		return append(dst, raw...)
	}
	if t.undefined() {
		return append(dst, 0xc0)
	}
	if p, ok := t.bytes(); ok {
		return msgp.AppendBytes(dst, p)
	}
	if at, ok := t.time(); ok {
		return msgp.AppendTimeExt(dst, at)
	}
	return append(dst, raw...)
}

// mpAppendDate appends a time as the reference encodes a Date, to the
// millisecond:
//
//	d7 00 <int64>
func mpAppendDate(dst []byte, at time.Time) []byte {
	return binary.BigEndian.AppendUint64(append(dst, 0xd7, 0), uint64(at.UnixMilli()))
}
