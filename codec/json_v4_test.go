package codec

import "testing"

func TestEncodeV4(t *testing.T) {
	leakCheck(t)
	p := JSON.(ParserV4)
	refuse := func(nsp string, v any) string {
		f, err := p.EncodeErrorV4(nsp, v)
		if err != nil {
			return err.Error()
		}
		defer f.Release()
		data, _, _ := NextPart(f.Bytes())
		return string(data)
	}
	connect := func(nsp string) string {
		f := p.EncodeConnectV4(nsp)
		defer f.Release()
		data, _, _ := NextPart(f.Bytes())
		return string(data)
	}
	for got, want := range map[string]string{
		connect("/"):                            "40",
		connect("/chat"):                        "40/chat,",
		refuse("/", "nope"):                     `44"nope"`,
		refuse("/chat", "no\n\"\xff"):           "44/chat,\"no\\n\\\"\ufffd\"",
		refuse("/chat", map[string]int{"a": 1}): `44/chat,{"a":1}`,
		refuse("/", 5):                          `445`,
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if f, err := p.EncodeErrorV4("/", make(chan int)); err == nil {
		t.Errorf("a channel became %q", f.Bytes())
	}
}
