package codec

import "math"

// The functions of this file read msgpack that the walker has accepted.

func mpMembers(p []byte, yield func(string, Value) bool) {
	t, i := mpNext(p, 0)
	for range t.n {
		var key mpToken
		key, i = mpNext(p, i)
		end := mpSkip(p, i)
		if !yield(key.name(), Value{p: p[i:end:end]}) {
			return
		}
		i = end
	}
}

func mpElements(p []byte, yield func(Value) bool) {
	t, i := mpNext(p, 0)
	for range t.n {
		end := mpSkip(p, i)
		if !yield(Value{p: p[i:end:end]}) {
			return
		}
		i = end
	}
}

// mpAnyDecoder implements Value.Any. It differs from mpDecoder.any in the numbers.
type mpAnyDecoder struct {
	p    []byte
	i    int // the next token
	left int // values that may still be decoded; negative when there were too many
}

func (d *mpAnyDecoder) value() any {
	if d.left--; d.left < 0 {
		return nil
	}
	t, i := mpNext(d.p, d.i)
	d.i = i
	switch t.kind {
	case mpBool:
		return t.n == 1
	case mpUint:
		if t.n > math.MaxInt64 {
			return t.n
		}
		return wholeNumber(int64(t.n))
	case mpInt:
		return wholeNumber(int64(t.n))
	case mpFloat:
		if f := math.Float64frombits(t.n); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f
		}
		return nil
	case mpStr:
		return string(t.data)
	case mpBin, mpExt:
		return mpAnyData(&t)
	case mpArray:
		return d.list(t.n)
	case mpMap:
		return d.object(t.n)
	}
	return nil
}

func (d *mpAnyDecoder) list(n uint64) any {
	if n > uint64(d.left) {
		d.left = -1
		return nil
	}
	list := make([]any, n)
	for i := range list {
		if list[i] = d.value(); d.left < 0 {
			return nil
		}
	}
	return list
}

func (d *mpAnyDecoder) object(n uint64) any {
	if n > uint64(d.left) {
		d.left = -1
		return nil
	}
	object := make(map[string]any, n)
	for range n {
		key, i := mpNext(d.p, d.i)
		d.i = i
		if object[key.name()] = d.value(); d.left < 0 {
			return nil
		}
	}
	return object
}
