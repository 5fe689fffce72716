package codec

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/epio-go/epio/pool"
)

// wireVector is a line of testdata/packets.jsonl, made by the official parsers: a
// Socket.IO packet, or an Engine.IO payload. Binary messages are written as +hex.
type wireVector struct {
	Parser string
	Name   string

	Packet *struct {
		Type Type
		NSP  string
		ID   *uint64
		Data any
	}
	Messages []string

	Packets []string
	Payload string
}

// wireVectors calls fn for every line that is a Socket.IO packet, or every other.
func wireVectors(t *testing.T, packets bool, fn func(t *testing.T, v *wireVector)) {
	f, err := os.Open("testdata/packets.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for s := bufio.NewScanner(f); s.Scan(); {
		v := new(wireVector)
		if err := json.Unmarshal(s.Bytes(), v); err != nil {
			t.Fatal(err)
		}
		if (v.Packet != nil) == packets {
			n++
			t.Run(v.Parser+" "+v.Name, func(t *testing.T) { fn(t, v) })
		}
	}
	if n == 0 {
		t.Fatal("no vectors")
	}
}

// fromHex turns {"$": hex} into bytes.
func fromHex(t *testing.T, v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = fromHex(t, v[i])
		}
	case map[string]any:
		if s, ok := v["$"].(string); ok {
			return unhex(t, s)
		}
		for k := range v {
			v[k] = fromHex(t, v[k])
		}
	}
	return v
}

// TestPacketVectorsDecode reads what official clients send, and official servers.
func TestPacketVectorsDecode(t *testing.T) {
	wireVectors(t, true, func(t *testing.T, v *wireVector) {
		p := v.Packet
		fed := slices.Clone(v.Messages)
		for i, m := range fed {
			if data, ok := strings.CutPrefix(m, "+"); ok {
				fed[i] = "\x00" + string(unhex(t, data))
			}
		}
		in, err := feed(nil, fed...)
		if p.Type == ConnectError { // which servers only send
			if !errors.Is(err, ErrConnectError) {
				t.Errorf("CONNECT_ERROR from a client: %s, %v", describe(in), err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		defer in.Release()
		wantType := p.Type
		if wantType > ConnectError {
			wantType -= BinaryEvent - Event
		}
		if in.Type != wantType || string(in.Namespace) != p.NSP || in.HasID != (p.ID != nil) || p.ID != nil && in.ID != *p.ID {
			t.Errorf("got %s", describe(in))
		}
		if p.Data == nil {
			if in.HasPayload {
				t.Errorf("a payload from nowhere: %s", describe(in))
			}
			return
		}
		want := fromHex(t, p.Data)
		if in.Type == Connect {
			var got any
			if err := in.DecodeData(&got); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %v, %v; want %v", got, err, want)
			}
			return
		}
		args := want.([]any)
		if in.Type == Event {
			if string(in.Event()) != args[0] {
				t.Errorf("event %q, want %q", in.Event(), args[0])
			}
			args = args[1:]
		}
		if in.Len() != len(args) {
			t.Fatalf("%d arguments, want %d", in.Len(), len(args))
		}
		for i := range args {
			var got any
			if err := in.Decode(i, &got); err != nil || !reflect.DeepEqual(got, args[i]) {
				t.Errorf("argument %d: got %#v, %v; want %#v", i, got, err, args[i])
			}
		}
	})
}

// TestPacketVectorsEncode writes the same bytes as official servers.
func TestPacketVectorsEncode(t *testing.T) {
	wireVectors(t, true, func(t *testing.T, v *wireVector) {
		p := v.Packet
		v4 := strings.HasPrefix(v.Parser, "socket.io-parser 2.") || strings.HasPrefix(v.Parser, "socket.io-parser 3.")
		if p.NSP != "/" && (p.Type == Connect || p.Type == Disconnect) && !strings.HasSuffix(v.Messages[0], ",") && p.Data == nil {
			t.Skip("the oldest clients leave the comma out; servers do not")
		}
		data := fromHex(t, p.Data)
		var frame *pool.Frame
		switch p.Type {
		case Connect:
			answer, _ := data.(map[string]any)
			sid, _ := answer["sid"].(string)
			pid, _ := answer["pid"].(string)
			switch {
			case v4:
				frame = JSON.(ParserV4).EncodeConnectV4(p.NSP)
			case sid != "":
				frame = JSON.EncodeConnect(p.NSP, sid, pid)
			default:
				t.Skip("only clients send this")
			}
		case ConnectError:
			if refusal, ok := data.(map[string]any); ok && !v4 {
				frame = must(JSON.EncodeConnectError(p.NSP, refusal["message"].(string), refusal["data"]))
			} else {
				frame = must(JSON.(ParserV4).EncodeErrorV4(p.NSP, data))
			}
		case Disconnect:
			frame = JSON.EncodeDisconnect(p.NSP)
		case Event, BinaryEvent:
			args := data.([]any)
			id := int64(-1)
			if p.ID != nil {
				id = int64(*p.ID)
			}
			frame = must(JSON.EncodeEvent(p.NSP, id, args[0].(string), args[1:]))
		case Ack, BinaryAck:
			frame = must(JSON.EncodeAck(p.NSP, *p.ID, data.([]any)))
		default:
			t.Fatalf("type %v", p.Type)
		}
		defer frame.Release()
		var got []string
		for isBinary, data := range Parts(frame.Bytes()) {
			if isBinary {
				got = append(got, fmt.Sprintf("+%x", data))
			} else {
				got = append(got, strings.TrimPrefix(string(data), "4"))
			}
		}
		if !slices.Equal(got, v.Messages) {
			t.Errorf("\n got %q\nwant %q", got, v.Messages)
		}
	})
}

// TestPayloadVectors reads and writes Engine.IO payloads like the official parser.
func TestPayloadVectors(t *testing.T) {
	leakCheck(t)
	wireVectors(t, false, func(t *testing.T, v *wireVector) {
		var body []byte
		for _, p := range v.Packets {
			var f *pool.Frame
			if data, ok := strings.CutPrefix(p, "+"); ok {
				f = NewBinaryFrame(unhex(t, data))
			} else {
				f = NewTextFrame(PacketType(p[0]), p[1:])
			}
			body = AppendPayload(body, f.Bytes())
			f.Release()
		}
		if string(body) != v.Payload {
			t.Errorf("wrote %q, want %q", body, v.Payload)
		}
		var got []string
		for r := NewPayloadReader([]byte(v.Payload)); ; {
			p, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if p.Binary {
				got = append(got, "+"+hex.EncodeToString(p.Data))
			} else {
				got = append(got, string(p.Type)+string(p.Data))
			}
		}
		if !slices.Equal(got, v.Packets) {
			t.Errorf("read %q, want %q", got, v.Packets)
		}
	})
}
