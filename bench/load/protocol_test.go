package main

import (
	"bytes"
	"testing"

	"github.com/epio-go/epio/bench/internal/ws"
)

// Written by socket.io-msgpack-parser 3.0.2 in the way of the official client.
func TestPackets(t *testing.T) {
	sid := "bbbbbbbbbbbbbbbbbbbb"
	for _, test := range []struct {
		name string
		got  []byte
		want string
	}{
		{"connect", msgpack.connect(nil), "\x83\xa4type\x00\xa4data\xd4\x00\x00\xa3nsp\xa1/"},
		{"echo", msgpack.echo(nil, []byte("abc")), "\x85\xa4type\x02\xa4data\x92\xa4echo\xa3abc\xa7options\x81\xa8compress\xc3\xa2id\x09\xa3nsp\xa1/"},
		{"join", msgpack.member(nil, true, []byte("all")), "\x85\xa4type\x02\xa4data\x92\xa4join\xa3all\xa7options\x81\xa8compress\xc3\xa2id\x01\xa3nsp\xa1/"},
		{"leave", msgpack.member(nil, false, []byte("all")), "\x85\xa4type\x02\xa4data\x92\xa5leave\xa3all\xa7options\x81\xa8compress\xc3\xa2id\x02\xa3nsp\xa1/"},
		{"text", msgpack.broadcast(nil, []byte("all"), []byte("abc"), false), "\x84\xa4type\x02\xa4data\x93\xa5bcast\xa3all\xa3abc\xa7options\x81\xa8compress\xc3\xa3nsp\xa1/"},
		{"binary", msgpack.broadcast(nil, []byte("all"), []byte("\x01\x02"), true), "\x84\xa4type\x02\xa4data\x93\xa5bcast\xa3all\xc4\x02\x01\x02\xa7options\x81\xa8compress\xc3\xa3nsp\xa1/"},
		{"floor's connect", []byte(ws.PackConnected), "\x83\xa4type\x00\xa4data\x81\xa3sid\xb4" + sid + "\xa3nsp\xa1/"},
		{"json leave", socketio.member(nil, false, []byte("all")), `422["leave","all"]`},
		{"json binary", socketio.broadcast(nil, []byte("all"), []byte("ab"), true), `451-["bcast","all",{"_placeholder":true,"num":0}]`},
		{"plain broadcast", plain.broadcast(nil, []byte("all"), []byte("ab"), true), `ball ab`},
	} {
		if string(test.got) != test.want {
			t.Errorf("%s: %q, want %q", test.name, test.got, test.want)
		}
	}
}

func TestParse(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 300)
	wide := bytes.Repeat([]byte("x"), 70_000)
	for _, test := range []struct {
		wire    protocol
		in      string
		op      byte
		kind    kind
		payload string
	}{
		{socketio, `0{"sid":"a"}`, ws.Text, opened, `{"sid":"a"}`},
		{socketio, `40{"sid":"a"}`, ws.Text, connected, ""},
		{socketio, `44{"message":"no"}`, ws.Text, unknown, ""},
		{socketio, `431[]`, ws.Text, joined, ""},
		{socketio, `432[null]`, ws.Text, left, ""},
		{socketio, `439["abc"]`, ws.Text, answer, "abc"},
		{socketio, `42["msg","abc"]`, ws.Text, delivery, "abc"},
		{socketio, `42["msg","abc"`, ws.Text, unknown, ""},
		{socketio, `42["other","abc"]`, ws.Text, unknown, ""},
		{socketio, `451-["msg",{"num":0,"_placeholder":true}]`, ws.Text, announced, ""},
		{socketio, `451-["msg",{"_placeholder":true,"num":1}]`, ws.Text, unknown, ""},
		{socketio, "abc", ws.Binary, delivery, "abc"},
		{socketio, "2", ws.Text, ping, ""},
		{msgpack, "2", ws.Text, ping, ""},
		{msgpack, ws.PackConnected, ws.Binary, connected, ""},
		{msgpack, "\x84\xa4type\x00\xa4data\x82\xa3sid\xa1a\xa3pid\xd4\x00\x00\xa3nsp\xa1/\xa1z\xcb01234567", ws.Binary, connected, ""},
		{msgpack, "\x82\xa4type\x04\xa4data\xa2no", ws.Binary, unknown, ""},
		{msgpack, "\x83\xa4type\x03\xa2id\x01\xa4data\x90", ws.Binary, joined, ""},
		{msgpack, "\x83\xa2id\xcc\x02\xa4type\x03\xa4data\x91\xc0", ws.Binary, left, ""},
		{msgpack, "\x84\xa4data\x91\xa3abc\xa3nsp\xa1/\xa2id\x09\xa4type\x03", ws.Binary, answer, "abc"},
		{msgpack, "\x83\xa4data\x92\xa3msg\xa3abc\xa3nsp\xa1/\xa4type\x02", ws.Binary, delivery, "abc"},
		{msgpack, "\x83\xa4data\x92\xa3msg\xc4\x03abc\xa3nsp\xa1/\xa4type\x02", ws.Binary, delivery, "abc"},
		{msgpack, "\x82\xa4data\x92\xa3msg\xda\x01\x2c" + string(long) + "\xa4type\x02", ws.Binary, delivery, string(long)},
		{msgpack, "\x82\xa4data\x92\xa3msg\xc6\x00\x01\x11\x70" + string(wide) + "\xa4type\x02", ws.Binary, delivery, string(wide)},
		{msgpack, "\x82\xa4data\x92\xa3msg\xa3abc\xa4type\x02z", ws.Binary, unknown, ""},
		{plain, "j", ws.Text, joined, ""},
		{plain, "l", ws.Binary, left, ""},
		{plain, "eabc", ws.Text, answer, "abc"},
		{plain, "mabc", ws.Binary, delivery, "abc"},
		{plain, "", ws.Text, unknown, ""},
	} {
		k, payload := test.wire.parse([]byte(test.in), test.op)
		if k != test.kind || string(payload) != test.payload {
			t.Errorf("%s is %d %s, want %d %s", quote([]byte(test.in)), k, quote(payload), test.kind, quote([]byte(test.payload)))
		}
	}
}

func FuzzParsePack(f *testing.F) {
	f.Add([]byte(ws.PackConnected))
	f.Add([]byte("\x83\xa4data\x92\xa3msg\xa3abc\xa3nsp\xa1/\xa4type\x02"))
	f.Fuzz(func(t *testing.T, m []byte) {
		if k, payload := parsePack(m); len(payload) > 0 && (k != answer && k != delivery || !bytes.Contains(m, payload)) {
			t.Errorf("%q is %d with %q", m, k, payload)
		}
	})
}

func TestResponse(t *testing.T) {
	for _, test := range []struct {
		in, body string
		status   int
		bad      bool
	}{
		{in: "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", status: 200, body: "ok"},
		{in: "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", status: 400},
		{in: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n", status: 200, body: "abc0123456789"},
		{in: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n", bad: true},
		{in: "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", bad: true},
		{in: "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", bad: true},
		{in: "nonsense nonsense\r\n\r\n", bad: true},
	} {
		status, body, n, err := response([]byte(test.in + "HTTP"))
		if (err != nil) != test.bad {
			t.Errorf("%q: %v", test.in, err)
			continue
		}
		if test.bad {
			continue
		}
		if status != test.status || string(body) != test.body || n != len(test.in) {
			t.Errorf("%q is %d %q, %d bytes", test.in, status, body, n)
		}
		for i := range len(test.in) {
			if _, _, n, err := response([]byte(test.in[:i])); n != 0 || err != nil {
				t.Errorf("%q: %d bytes, %v", test.in[:i], n, err)
			}
		}
	}
}

func TestFrames(t *testing.T) {
	for _, size := range []int{0, 1, 125, 126, 65535, 65536, 100_000} {
		for _, client := range []bool{false, true} {
			want := bytes.Repeat([]byte("abc"), size)[:size]
			f := ws.Append(nil, ws.Binary, client, want)
			if client && size > 0 && bytes.Contains(f, want) {
				t.Errorf("%d bytes are not masked", size)
			}
			for _, short := range []int{0, 1, min(5, len(f)-1), len(f) - 1} {
				if _, _, n, err := ws.Next(bytes.Clone(f[:short])); n != 0 || err != nil {
					t.Errorf("%d of %d bytes: %d, %v", short, len(f), n, err)
				}
			}
			got, op, n, err := ws.Next(append(f, "rest"...))
			if err != nil || op != ws.Binary || n != len(f) || !bytes.Equal(got, want) {
				t.Errorf("%d bytes: %d bytes, opcode %d, size %d, %v", size, len(got), op, n, err)
			}
		}
	}
	for _, bad := range []string{"\x01\x00", "\xc1\x00", "\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff"} {
		if _, _, _, err := ws.Next([]byte(bad)); err != ws.ErrFrame {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
