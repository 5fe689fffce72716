package alloctest

import "testing"

var sink []byte

func TestBytes(t *testing.T) {
	const size = 1 << 20
	calls := 0
	if n := Bytes(2*size, func() { calls++; sink = make([]byte, size) }); n < size || n > size+size/8 || calls != 1 {
		t.Errorf("%d bytes in %d calls", n, calls)
	}
	calls = 0
	if n := Bytes(size, func() { calls++; sink = make([]byte, 2*size) }); n < 2*size || calls != tries {
		t.Errorf("twice what is allowed: %d bytes in %d calls", n, calls)
	}
	// What only some of the calls allocate is not f's.
	calls = 0
	if n := Bytes(size/2, func() {
		if calls++; calls%3 != 0 {
			sink = make([]byte, size)
		}
	}); n > size/2 || calls != 3 {
		t.Errorf("%d bytes in %d calls", n, calls)
	}
}
