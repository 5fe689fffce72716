package codec

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/epio-go/epio/internal/invariants"
)

type say struct {
	Room string `json:"room"`
	Text string `json:"text"`
	N    int    `json:"n"`
}

// Ceilings on allocations per packet, warm. They hold on every machine, unlike
// times; benchmarks have the times.
func TestAllocations(t *testing.T) {
	if invariants.Enabled {
		t.Skip("test builds allocate more, on purpose")
	}
	value := say{"lobby", "hello there", 7}
	structArg := []any{&value}
	simpleArgs := []any{"hello there", 7, true}
	binaryArg := []any{[]byte("hello there")}
	nestedBinary := []any{&fileInfo{"n", []byte("hello there")}}
	event := []byte(`2/chat,12["say",{"room":"lobby","text":"hello there","n":7},"x",3]`)
	binaryEvent := []byte(`51-["e",` + ph(0) + `]`)
	attachment := []byte("hello there")
	body := []byte("4hello\x1ebAQID\x1e4world")
	bodyV3 := []byte("6:4hello6:b4AQID6:4world")
	binaryBodyV3 := []byte("\x00\x06\xff4hello\x01\x03\xff\x04\x01\x02")
	d := JSON.NewDecoder(nil)
	frame := NewBinaryFrame(bytes.Repeat([]byte("x"), 100))
	large := make([]byte, 64<<10)
	manyBinary := fmt.Appendf(nil, `5%d-["e"%s]`, DefaultMaxAttachments, placeholders(DefaultMaxAttachments))
	scratch, payload := make([]byte, len(body)), make([]byte, 0, 1000)

	// The one allocation of encoding a value through the library is its own (it
	// takes the address of the interface).
	for _, tc := range []struct {
		name string
		max  float64
		f    func()
	}{
		{"encode struct pointer", 1, func() { must(JSON.EncodeEvent("/", -1, "say", structArg)).Release() }},
		{"encode simple values", 0, func() { must(JSON.EncodeEvent("/chat", 5, "say", simpleArgs)).Release() }},
		{"encode ack", 1, func() { must(JSON.EncodeAck("/", 12, structArg)).Release() }},
		{"encode binary", 0, func() { must(JSON.EncodeEvent("/", -1, "e", binaryArg)).Release() }},
		{"encode nested binary", 4, func() { must(JSON.EncodeEvent("/", -1, "e", nestedBinary)).Release() }},
		{"encode connect", 1, func() { JSON.EncodeConnect("/", "oSO0OpakMV_3jnilAAAA", "").Release() }},
		{"encode disconnect", 0, func() { JSON.EncodeDisconnect("/").Release() }},
		{"text frame", 0, func() { NewTextFrame(Message, attachment).Release() }},
		{"binary frame", 0, func() { NewBinaryFrame(large).Release() }},
		{"base64 frame", 0, func() { NewFrameIn(FormBase64, frame.Bytes()).Release() }},
		{"decode event", 0, func() {
			in, _ := d.Text(event)
			in.Release()
		}},
		{"decode event and a string", 1, func() {
			in, _ := d.Text(event)
			var s string
			if in.Decode(1, &s) != nil {
				t.Fail()
			}
			in.Release()
		}},
		{"decode event and a struct", 3, func() { // the value and its strings
			in, _ := d.Text(event)
			var v say
			if in.Decode(0, &v) != nil {
				t.Fail()
			}
			in.Release()
		}},
		{"decode binary event", 1, func() { // what remembers the unfinished packet
			d.Text(binaryEvent)
			in, _ := d.Binary(attachment)
			in.Release()
		}},
		{"decode many attachments", 1, func() { // as above
			d.Text(manyBinary)
			var in *In
			for range DefaultMaxAttachments {
				in, _ = d.Binary(attachment)
			}
			in.Release()
		}},
		{"split payload", 0, func() {
			copy(scratch, body) // reading decodes in place
			r := NewPayloadReader(scratch)
			packets := 0
			for {
				if _, err := r.Next(); err != nil {
					break
				}
				packets++
			}
			if packets != 3 {
				t.Errorf("%d packets, want 3", packets)
			}
		}},
		{"join payload", 0, func() { payload = AppendPayload(payload[:0], frame.Bytes()) }},
		{"payload of v3", 0, func() {
			r := NewPayloadReaderV3(bodyV3)
			for {
				if _, err := r.Next(); err != nil {
					break
				}
			}
			r = NewBinaryPayloadReaderV3(binaryBodyV3)
			for {
				if _, err := r.Next(); err != nil {
					break
				}
			}
			payload = AppendPayloadV3(payload[:0], frame.Bytes())
			payload = AppendBinaryPayloadV3(payload[:0], frame.Bytes())
		}},
		{"frame in another form", 0, func() { NewFrameIn(FormV3, frame.Bytes()).Release() }},
	} {
		tc.f()
		if got := testing.AllocsPerRun(200, tc.f); got > tc.max {
			t.Errorf("%s: %v allocations, at most %v", tc.name, got, tc.max)
		} else {
			t.Logf("%s: %v", tc.name, got)
		}
	}
}
