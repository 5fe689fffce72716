package codec

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"reflect"
	"testing"
	"time"
)

// vector is a line of testdata/msgpack.jsonl, made by the npm package.
type vector struct {
	Name  string
	Hex   string
	Value json.RawMessage // of the argument, where JSON has it
	Kind  string          // what else the argument is
	N     int
	Ms    int64
}

func (v *vector) packet(t testing.TB) []byte {
	t.Helper()
	p, err := hex.DecodeString(v.Hex)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// vectors reads the file.
func vectors(t testing.TB) []vector {
	t.Helper()
	f, err := os.Open("testdata/msgpack.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []vector
	s := bufio.NewScanner(f)
	for s.Scan() {
		var v vector
		if err := json.Unmarshal(s.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	if s.Err() != nil || len(all) < 60 {
		t.Fatalf("%d vectors: %v", len(all), s.Err())
	}
	return all
}

// receive decodes one msgpack packet.
func receive(l *Limits, p []byte) (*In, error) {
	return Msgpack.NewDecoder(l).Binary(bytes.Clone(p))
}

// Packets of the reference, as it makes them on the client and on the server.
func TestMsgpackPackets(t *testing.T) {
	leakCheck(t)
	want := map[string]string{
		"connect without auth":  `CONNECT / -`,
		"connect with auth":     `CONNECT /chat {"token":"secret"}`,
		"connect answer":        `CONNECT / {"sid":"oSO0OpakMV_3jnilAAAA","pid":null}`,
		"disconnect":            `DISCONNECT /chat -`,
		"event":                 `EVENT / "say" ["hi",7]`,
		"event with id":         `EVENT /chat id=300 "say" []`,
		"ack":                   `ACK / id=0 [true]`,
		"ack without arguments": `ACK / id=12 []`,
		"connect error":         `CONNECT_ERROR /admin {"message":"no","data":{"code":1}}`,
	}
	for _, v := range vectors(t) {
		if v.Value != nil || v.Kind != "" {
			continue
		}
		in, err := receive(&Limits{Client: true}, v.packet(t))
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		if got := renderMsgpack(in); got != want[v.Name] {
			t.Errorf("%s: %s, want %s", v.Name, got, want[v.Name])
		}
		delete(want, v.Name)
		in.Release()
	}
	for name := range want {
		t.Errorf("no vector %q", name)
	}
}

// renderMsgpack renders a packet on one line, payload as JSON.
func renderMsgpack(in *In) string {
	var b bytes.Buffer
	b.WriteString(in.Type.String() + " " + string(in.Namespace))
	if in.HasID {
		b.WriteString(" id=")
		json.NewEncoder(&b).Encode(in.ID)
		b.Truncate(b.Len() - 1)
	}
	if !in.HasPayload {
		return b.String() + " -"
	}
	if in.Type == Connect || in.Type == ConnectError {
		text, _ := mpAppendJSON(nil, in.Data(), 0)
		return b.String() + " " + string(text)
	}
	if in.Type == Event {
		b.WriteString(` "` + string(in.Event()) + `"`)
	}
	b.WriteString(" [")
	for i := range in.Len() {
		if i > 0 {
			b.WriteByte(',')
		}
		text, _ := mpAppendJSON(nil, in.Raw(i), 0)
		b.Write(text)
	}
	return b.String() + "]"
}

// TestMsgpackValues decodes what the reference encodes, and encodes it again to
// the same bytes: the same choice of formats.
func TestMsgpackValues(t *testing.T) {
	leakCheck(t)
	for _, v := range vectors(t) {
		if v.Value == nil && v.Kind == "" {
			continue
		}
		in, err := receive(nil, v.packet(t))
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		var got any
		if err := in.Decode(0, &got); err != nil {
			t.Errorf("%s: %v", v.Name, err)
		}
		if want := v.want(t); !same(got, want) {
			t.Errorf("%s: %#v, want %#v", v.Name, got, want)
		}
		raw := bytes.Clone(in.Raw(0))
		in.Release()
		// An ArrayBuffer comes back as a Buffer, undefined as null, and the order of
		// members is not that of the source.
		if v.Kind == "arraybuffer" || v.Kind == "undefined" || v.Name == "16 members" {
			continue
		}
		var e mpEncoder
		if err := e.value(got, 0); err != nil || !bytes.Equal(e.b, raw) {
			t.Errorf("%s: encoded as %.20x, want %.20x (%v)", v.Name, e.b, raw, err)
		}
	}
}

func (v *vector) want(t *testing.T) any {
	t.Helper()
	data := make([]byte, v.N)
	for i := range data {
		data[i] = byte(i)
	}
	switch v.Kind {
	case "undefined":
		return nil
	case "nan":
		return math.NaN()
	case "inf":
		return math.Inf(1)
	case "date":
		return time.UnixMilli(v.Ms).UTC()
	case "buffer", "arraybuffer":
		return data
	}
	var want any
	if err := json.Unmarshal(v.Value, &want); err != nil {
		t.Fatal(err)
	}
	return want
}

// same is DeepEqual, but NaN equals itself.
func same(a, b any) bool {
	if f, ok := a.(float64); ok && math.IsNaN(f) {
		g, ok := b.(float64)
		return ok && math.IsNaN(g)
	}
	return reflect.DeepEqual(a, b)
}
