package codec

import (
	"bytes"
	"math"
	"testing"

	"github.com/gobwas/ws"

	"github.com/epio-go/epio/pool"
)

func TestAppendWSHeader(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536, 1 << 20, 1 << 33} {
		for _, op := range []ws.OpCode{ws.OpText, ws.OpBinary} {
			got := AppendWSHeader([]byte("x"), op, n)[1:]
			var want bytes.Buffer
			if err := ws.WriteHeader(&want, ws.Header{Fin: true, OpCode: op, Length: int64(n)}); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want.Bytes()) {
				t.Errorf("%v, %d bytes: % x, want % x", op, n, got, want.Bytes())
			}
			if wsHeaderLen(n) != len(got) {
				t.Errorf("wsHeaderLen(%d) = %d, want %d", n, wsHeaderLen(n), len(got))
			}
		}
	}
}

func TestParts(t *testing.T) {
	big := bytes.Repeat([]byte("z"), 70000)
	var frame []byte
	want := []struct {
		binary bool
		data   []byte
	}{{false, []byte("4hi")}, {true, nil}, {true, big}, {false, bytes.Repeat([]byte("y"), 300)}}
	for _, w := range want {
		op := ws.OpText
		if w.binary {
			op = ws.OpBinary
		}
		frame = append(AppendWSHeader(frame, op, len(w.data)), w.data...)
	}
	i := 0
	for isBinary, data := range Parts(frame) {
		if isBinary != want[i].binary || !bytes.Equal(data, want[i].data) {
			t.Errorf("part %d: binary=%v, %d bytes", i, isBinary, len(data))
		}
		i++
	}
	if i != len(want) {
		t.Errorf("%d parts, want %d", i, len(want))
	}
	for range Parts(frame) {
		break // stopping early must be possible
	}
}

func TestNextPartRefusesControlFrames(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a close frame was taken for data")
		}
	}()
	NextPart([]byte{0x88, 0})
}

// leakCheck fails the test when it ends with more pooled memory handed out than
// it began with.
func leakCheck(t *testing.T) {
	t.Helper()
	before := pool.Live()
	t.Cleanup(func() {
		if n := pool.Live() - before; n != 0 {
			t.Errorf("%d pooled blocks were not released", n)
		}
	})
}

func TestAttachmentsIn(t *testing.T) {
	for packet, want := range map[string]int{
		`452-["e",{"_placeholder":true,"num":0}]`: 2, `4612-/n,7[1]`: 12, `451-`: 1,
		`42["e"]`: 0, `43["e"]`: 0, `42["451-"]`: 0, "4": 0, "2": 0, "": 0, "45": 0, "45-": 0, "45x-": 0, "4512": 0,
		"4599999999999999999999-": 0, "45999999999999-": math.MaxInt32, "352-": 0,
	} {
		f := append(AppendWSHeader(nil, ws.OpText, len(packet)), packet...)
		if got := AttachmentsIn(append(f, 0x82, 0)); got != want {
			t.Errorf("%q: %d, want %d", packet, got, want)
		}
		f[0] = 0x82
		if got := AttachmentsIn(f); got != 0 {
			t.Errorf("binary %q: %d", packet, got)
		}
	}
	if AttachmentsIn(nil) != 0 || AttachmentsIn([]byte{0x81}) != 0 {
		t.Error("nothing has attachments")
	}
}
