package codec

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/tinylib/msgp/msgp"

	"github.com/epio-go/epio/pool"
)

// Values whose own methods panic, or end the goroutine.
type (
	panickingJSON    struct{}
	panickingText    struct{}
	panickingMsg     struct{}
	panickingPointer struct{ p *struct{ n int } }
	exitingJSON      struct{}
)

func (panickingJSON) MarshalJSON() ([]byte, error)     { panic("boo") }
func (panickingText) MarshalText() ([]byte, error)     { panic("boo") }
func (panickingMsg) MarshalMsg([]byte) ([]byte, error) { panic("boo") }
func (v *panickingPointer) MarshalJSON() ([]byte, error) {
	return nil, errors.New(strings.Repeat("x", v.p.n))
}
func (exitingJSON) MarshalJSON() ([]byte, error) { runtime.Goexit(); return nil, nil }

var _ msgp.Marshaler = panickingMsg{}

// A method of the application's that panics costs the packet and nothing else: the next one is
// encoded as if nothing had been.
func TestEncodePanics(t *testing.T) {
	live := pool.Live()
	values := map[string]any{
		"json":           panickingJSON{},
		"text":           panickingText{},
		"nil pointer":    &panickingPointer{},
		"field":          struct{ A, B any }{"a", panickingJSON{}},
		"beside binary":  []any{[]byte("b"), map[string]any{"x": panickingJSON{}}},
		"key":            map[panickingText]int{{}: 1},
		"list":           []panickingJSON{{}, {}},
		"behind strings": []any{strings.Repeat("s", 1000), panickingText{}},
	}
	for _, p := range []Parser{JSON, Msgpack} {
		encoders := map[string]func(v any) error{
			"event": func(v any) error { _, err := p.EncodeEvent("/", -1, "e", []any{"before", v}); return err },
			"ack":   func(v any) error { _, err := p.EncodeAck("/", 7, []any{v}); return err },
			"error": func(v any) error { _, err := p.EncodeConnectError("/", "no", v); return err },
		}
		if p == JSON {
			encoders["v4"] = func(v any) error { _, err := p.(ParserV4).EncodeErrorV4("/", v); return err }
			encoders["value"] = func(v any) error {
				out, _, err := AppendJSON([]byte("kept"), v)
				if string(out) != "kept" {
					t.Errorf("%q was appended", out)
				}
				return err
			}
		} else {
			values["msgp"] = panickingMsg{}
			encoders["value"] = func(v any) error {
				out, err := AppendMsgpack([]byte("kept"), v)
				if string(out) != "kept" {
					t.Errorf("%q was appended", out)
				}
				return err
			}
		}
		for what, encode := range encoders {
			for name, v := range values {
				t.Run(p.Name()+"/"+what+"/"+name, func(t *testing.T) {
					for range 3 {
						err := encode(v)
						pe, ok := errors.AsType[*PanicError](err)
						if !ok || !strings.Contains(string(pe.Stack), "panic_test.go") {
							t.Fatalf("got %v, want a *PanicError with the method's stack", err)
						}
						wantSound(t, p)
					}
				})
			}
		}
	}
	if n := pool.Live() - live; n != 0 {
		t.Errorf("%d frames are left", n)
	}
}

// wantSound checks that p encodes as ever.
func wantSound(t *testing.T, p Parser) {
	t.Helper()
	f, err := p.EncodeEvent("/chat", 12, "e", []any{"a", 1, []byte{1, 2}, map[string]any{"k": []byte{3}}})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Release()
	want := "\x82\x2a\x84\xa4type\x02\xa3nsp\xa5/chat\xa2id\x0c\xa4data\x95\xa1e\xa1a\x01\xc4\x02\x01\x02\x81\xa1k\xc4\x01\x03"
	if p == JSON {
		want = "\x81\x59452-/chat,12[\"e\",\"a\",1,{\"_placeholder\":true,\"num\":0},{\"k\":{\"_placeholder\":true,\"num\":1}}]" + "\x82\x02\x01\x02\x82\x01\x03"
	}
	if got := string(f.Bytes()); got != want {
		t.Fatalf("got  %q\nwant %q", got, want)
	}
}

// runtime.Goexit in such a method, which testing.T.FailNow is, ends the goroutine and leaves the
// encoder whole.
func TestEncodeExits(t *testing.T) {
	for _, p := range []Parser{JSON, Msgpack} {
		for range 3 {
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				p.EncodeEvent("/", -1, "e", []any{[]byte("b"), exitingJSON{}})
			}()
			<-ended
			wantSound(t, p)
		}
	}
}
