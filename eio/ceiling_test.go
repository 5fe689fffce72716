package eio

import (
	"bytes"
	"io"
	"math"
	"net"
	"runtime"
	"testing"

	"github.com/epio-go/epio/internal/invariants"
	"github.com/epio-go/epio/pool"
)

// The ceilings are what was measured; a change that allocates more has to say why.

func TestReceiveAllocatesNothing(t *testing.T) {
	h, c := idleSession(t, silent{})
	frame := textFrame("4hello")
	scratch := make([]byte, len(frame))
	if n := testing.AllocsPerRun(1000, func() {
		copy(scratch, frame)
		if h.Data(c, scratch) != len(frame) {
			t.Error("frame not consumed")
		}
	}); n != 0 {
		t.Errorf("receiving a message allocates %v times", n)
	}
}

// TestHandshakeCeilings counts what it takes to turn an accepted connection into a
// session: from the request to the OPEN packet, over the whole process. The client
// allocates nothing.
func TestHandshakeCeilings(t *testing.T) {
	if invariants.Enabled {
		t.Skip("test builds keep released memory back")
	}
	const rounds, runs = 5, 50
	for _, test := range []struct {
		d       door
		ceiling float64
	}{
		{benchDoors[0], 7},
		{benchDoors[2], 8}, // and what writes
	} {
		t.Run(test.d.name, func(t *testing.T) {
			if !test.d.portable && runtime.GOOS != "linux" {
				t.Skip("no reactor on this platform")
			}
			dial := test.d.serve(t, silent{})
			answer := make([]byte, handshakeLen(t, dial))
			var conns []net.Conn
			for range rounds * (runs + 1) {
				nc, err := dial()
				if err != nil {
					t.Fatal(err)
				}
				defer nc.Close()
				conns = append(conns, nc)
			}
			request := []byte(benchRequest)
			// The least of several rounds: what else the process does counts, too.
			n := math.Inf(1)
			for range rounds {
				n = min(n, testing.AllocsPerRun(runs, func() {
					nc := conns[0]
					conns = conns[1:]
					nc.Write(request)
					if _, err := io.ReadFull(nc, answer); err != nil {
						t.Fatal(err)
					}
				}))
			}
			if !bytes.HasPrefix(answer, []byte("HTTP/1.1 101 ")) || !bytes.HasSuffix(answer, []byte(`}`)) {
				t.Errorf("got %q", answer)
			}
			t.Logf("%v allocations", n)
			if n > test.ceiling {
				t.Errorf("a handshake allocates %v times, at most %v are allowed", n, test.ceiling)
			}
		})
	}
}

// handshakeLen returns the size of the answer to benchRequest, the OPEN packet included.
func handshakeLen(t *testing.T, dial func() (net.Conn, error)) int {
	t.Helper()
	nc, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	io.WriteString(nc, benchRequest)
	var all []byte
	for !bytes.HasSuffix(all, []byte("}")) {
		var p [512]byte
		n, err := nc.Read(p[:])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p[:n]...)
	}
	return len(all)
}

func TestUpgradeAnswerAllocatesNothing(t *testing.T) {
	if invariants.Enabled {
		t.Skip("test builds keep released memory back")
	}
	if n := testing.AllocsPerRun(1000, func() {
		append101(pool.Get(512), &opening{key: "dGhlIHNhbXBsZSBub25jZQ=="}, "", nil).Release()
	}); n != 0 {
		t.Errorf("the answer to an upgrade allocates %v times", n)
	}
	if n := testing.AllocsPerRun(1000, func() {
		if _, ok := parseHead(browserHead); !ok {
			t.Error("head not accepted")
		}
	}); n != 0 {
		t.Errorf("parsing a request head allocates %v times", n)
	}
}
