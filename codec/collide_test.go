package codec

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/epio-go/epio/internal/invariants"
)

// collidingKeys returns 2^bits different keys that are one and the same to every hash function that multiplies by m and adds the
// next byte, from whatever it starts: 31 is that of Java, 33 that of Bernstein.
func collidingKeys(bits int, m byte) []string {
	keys := []string{""}
	for range bits {
		next := make([]string, 0, 2*len(keys))
		for _, k := range keys {
			next = append(next, k+"Az", k+string([]byte{'B', 'z' - m}))
		}
		keys = next
	}
	return keys
}

// Objects with keys that collide, or are all the same, cost what others of their size do. A table that can be made to
// collide would take thousands of times as long; the limit leaves room for a machine that does something else meanwhile.
func TestCollidingKeys(t *testing.T) {
	const tooMuch = 30
	bits := 13
	if invariants.Enabled {
		bits = 10
	}
	ordinary := make([]string, 1<<bits)
	same := make([]string, 1<<bits)
	for i := range ordinary {
		ordinary[i] = fmt.Sprintf("%0*d", 2*bits, i*7919)
		same[i] = ordinary[0]
	}
	into := map[string]func() any{
		"any":       func() any { return new(any) },
		"map":       func() any { return new(map[string]any) },
		"typed map": func() any { return new(map[string]int) },
		"struct": func() any {
			return new(struct {
				A int `json:"AzAzAzAzAzAzAzAzAzAzAzAzAz" msg:"AzAzAzAzAzAzAzAzAzAzAzAzAz"`
				B int
			})
		},
	}
	least := func(parser Parser, keys []string, v func() any) time.Duration {
		best := time.Hour
		for range 5 {
			start := time.Now()
			in := objectOf(t, parser, keys)
			if err := in.Decode(0, v()); err != nil {
				t.Fatal(err)
			}
			best = min(best, time.Since(start))
			in.Release()
		}
		return best
	}
	for name, v := range into {
		for _, parser := range []Parser{JSON, Msgpack} {
			usual := least(parser, ordinary, v)
			for how, keys := range map[string][]string{"31": collidingKeys(bits, 31), "33": collidingKeys(bits, 33), "the same": same} {
				if got := least(parser, keys, v); got > tooMuch*usual {
					t.Errorf("%T into %s: %v with keys that collide (%s), %v with others", parser, name, got, how, usual)
				}
			}
		}
	}
}

// objectOf returns an event with an object of these keys.
func objectOf(t *testing.T, parser Parser, keys []string) *In {
	t.Helper()
	var in *In
	var err error
	if parser == JSON {
		text := []byte(`2["e",{`)
		for i, k := range keys {
			if i > 0 {
				text = append(text, ',')
			}
			name, _ := json.Marshal(k)
			text = append(append(text, name...), ":1"...)
		}
		in, err = parser.NewDecoder(nil).Text(append(text, "}]"...))
	} else {
		p := msgp.AppendMapHeader(nil, 3)
		p = msgp.AppendInt(msgp.AppendString(p, "type"), 2)
		p = msgp.AppendString(msgp.AppendString(p, "nsp"), "/")
		p = msgp.AppendArrayHeader(msgp.AppendString(p, "data"), 2)
		p = msgp.AppendMapHeader(msgp.AppendString(p, "e"), uint32(len(keys)))
		for _, k := range keys {
			p = msgp.AppendInt(msgp.AppendString(p, k), 1)
		}
		in, err = parser.NewDecoder(nil).Binary(p)
	}
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func TestKeysCollide(t *testing.T) {
	for _, m := range []byte{31, 33} {
		hashes, keys := make(map[uint32]bool), make(map[string]bool)
		for _, k := range collidingKeys(10, m) {
			h := uint32(5381)
			for _, c := range []byte(k) {
				h = h*uint32(m) + uint32(c)
			}
			hashes[h], keys[k] = true, true
		}
		if len(hashes) != 1 || len(keys) != 1<<10 {
			t.Errorf("%d: %d keys with %d hashes", m, len(keys), len(hashes))
		}
	}
}
