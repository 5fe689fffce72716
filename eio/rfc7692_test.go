package eio

import (
	"bytes"
	"compress/flate"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// The tests in this file follow the categories 12 and 13 of the Autobahn test-suite, which are about
// permessage-deflate: 12 sizes and kinds of messages, 13 what is negotiated. As in the other
// categories, what is echoed are Engine.IO messages.

// Kinds of content, from what becomes very small to what becomes larger.
var kinds = []struct {
	name   string
	binary bool
	data   func(n int) string
}{
	{"zeros", true, func(n int) string { return strings.Repeat("\x00", n) }},
	{"prose", false, prose},
	{"JSON", false, func(n int) string {
		var b strings.Builder
		for i := 0; b.Len() < n; i++ {
			fmt.Fprintf(&b, `{"id":%d,"name":"Ünïcode €%d","tags":["a","b"]},`, i, i*i)
		}
		return strings.ToValidUTF8(b.String()[:n], "")
	}},
	{"hex", false, func(n int) string { return hex.EncodeToString(random(n/2 + 1))[:n] }},
	{"noise", true, func(n int) string { return string(random(n)) }},
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

// compressed makes the message of a client, with a level of its own, and flushes in between, that servers
// must not care about.
func compressed(data string, level, flushEvery int) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		panic(err)
	}
	for len(data) > flushEvery {
		io.WriteString(w, data[:flushEvery])
		w.Flush()
		data = data[flushEvery:]
	}
	io.WriteString(w, data)
	w.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte("\x00\x00\xff\xff"))
}

func TestDeflatedMessages(t *testing.T) { // Autobahn 12
	eachStrictDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{PerMessageDeflate: &PerMessageDeflate{}}, &app{echo: true, onMessage: func(*Session, []byte, bool) {}})
		for _, kind := range kinds {
			t.Run(kind.name, func(t *testing.T) {
				sub := *r
				sub.t = t
				c := sub.websocket()
				for at, n := range []int{0, 1, 16, 64, 256, 1023, 1024, 1025, 4096, 8192, 16384, 32768, 65535, 65536, 65537, 131072} {
					data := kind.data(n)
					op, first := ws.OpBinary, byte(0xc2)
					if !kind.binary {
						data, op, first = "4"+data, ws.OpText, 0xc1
					}
					for i, flush := range []int{1 << 30, 1000, 1 << 30, 1 << 30} {
						if n > 1 && n != 1024 && i != at%4 {
							continue // every way, but not with every size
						}
						z := compressed(data, []int{6, 1, 0, flate.HuffmanOnly}[i], flush)
						size := len(z) // in one frame, in two, in many, with pings in between
						pieces := []int{size, size/2 + 1, size/7 + 1, size/20 + 1}[i%4]
						var stream []byte
						for off := 0; off == 0 || off < size; off += pieces {
							b := first
							if off > 0 {
								b = 0
								stream = append(stream, ping("between")...)
							} else {
								b &^= 0x80
							}
							if off+pieces >= size {
								b |= 0x80
							}
							stream = append(stream, clientFrame(b, z[off:min(off+pieces, size)])...)
						}
						done := make(chan struct{})
						go func() {
							defer close(done)
							c.nc.Write(stream)
						}()
						before := c.deflated
						for {
							got, p, err := c.frame()
							if got == ws.OpPong && string(p) == "between" && err == nil {
								continue
							}
							if err != nil || got != op || string(p) != data {
								t.Fatalf("%d bytes, way %d: got %v, %d bytes, %v", n, i, got, len(p), err)
							}
							break
						}
						<-done
						// What is sent compressed is smaller; what is not could not be.
						smaller := len(deflated(data)) < len(data)/2
						if got := c.deflated > before; got && (len(data) < 1024 || kind.name == "noise") || !got && smaller && len(data) >= 1024 {
							t.Errorf("%d bytes, way %d: compressed %v", n, i, got)
						}
					}
				}
				c.close()
			})
		}
	})
}

func TestDeflateReservedBits(t *testing.T) { // RFC 7692 section 6, with what Autobahn has for RSV in 3
	z := string(deflated("4compressed"))
	half := len(z) / 2
	eachStrictDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{PerMessageDeflate: &PerMessageDeflate{}}, nil)
		for _, e := range []exchange{
			{name: "whole", send: frame(0xc1, z), hear: []string{"text 4compressed"}},
			{name: "fragments", send: join(frame(0x41, z[:half]), frame(0x80, z[half:])), hear: []string{"text 4compressed"}},
			{name: "first fragment empty", send: join(frame(0x41, ""), frame(0x00, z), frame(0x80, "")), hear: []string{"text 4compressed"}},
			{name: "a ping within", send: join(frame(0x41, z[:half]), ping("p"), frame(0x80, z[half:])), hear: []string{"pong p", "text 4compressed"}},
			{name: "a pong within", send: join(frame(0x41, z[:half]), frame(0x8a, "p"), frame(0x80, z[half:])), hear: []string{"text 4compressed"}},
			{name: "plain and compressed by turns", send: join(text("4a"), frame(0xc1, z), text("4b"), frame(0xc1, z)), hear: []string{"text 4a", "text 4compressed", "text 4b", "text 4compressed"}},
			{name: "a close within", send: join(frame(0x41, z[:half]), closing(1000, "bye")), hear: []string{"close 1000 bye"}},
			violation("RSV1 on the second fragment", join(frame(0x41, z[:half]), frame(0xc0, z[half:])), ErrWebSocketProtocol),
			violation("RSV1 on the second fragment of a plain message", join(frame(0x01, "4a"), frame(0xc0, "b")), ErrWebSocketProtocol),
			violation("RSV1 on a ping", frame(0xc9, "p"), ErrWebSocketProtocol),
			violation("RSV1 on a pong", frame(0xca, "p"), ErrWebSocketProtocol),
			violation("RSV1 on a close", frame(0xc8, "\x03\xe8"), ErrWebSocketProtocol),
			violation("RSV1 on a ping within a message", join(frame(0x41, z[:half]), frame(0xc9, "p")), ErrWebSocketProtocol),
			violation("RSV2", frame(0xa1, z), ErrWebSocketProtocol),
			violation("RSV3", frame(0x91, z), ErrWebSocketProtocol),
			violation("RSV1 and RSV2", frame(0xe1, z), ErrWebSocketProtocol),
			violation("all three", frame(0xf1, z), ErrWebSocketProtocol),
			violation("RSV1 on a new message within a message", join(frame(0x41, z[:half]), frame(0xc1, z)), ErrWebSocketProtocol),
			violation("a continuation of nothing", frame(0xc0, z), ErrWebSocketProtocol),
		} {
			for _, piece := range []int{len(e.send), 1, 7} {
				t.Run(fmt.Sprintf("%s/piece=%d", e.name, piece), func(t *testing.T) { r.play(t, e, piece) })
			}
		}
	})
	// Without an agreement, RSV1 is as wrong as the others.
	run(t, Config{}, []exchange{
		violation("not negotiated", frame(0xc1, z), ErrWebSocketProtocol),
		violation("not negotiated, fragment", frame(0x41, z[:half]), ErrWebSocketProtocol),
		violation("not negotiated, behind a message", join(text("4a"), frame(0xc2, z)), ErrWebSocketProtocol, "text 4a"),
	})
}

// agreed checks that answer is a valid answer to one of the offers, as a client does: RFC 7692
// sections 5.1 and 7.1, RFC 6455 section 9.1. It is written from the client's side and shares nothing with
// the negotiation itself.
func agreed(offers []string, answer string) error {
	parse := func(s string) (name string, params map[string]string, err error) {
		parts := strings.Split(s, ";")
		params = make(map[string]string)
		for _, p := range parts[1:] {
			key, value, _ := strings.Cut(strings.TrimSpace(p), "=")
			key = strings.TrimSpace(key)
			if _, twice := params[key]; twice {
				return "", nil, fmt.Errorf("%s occurs twice", key)
			}
			params[key] = strings.Trim(strings.TrimSpace(value), `"`)
		}
		return strings.TrimSpace(parts[0]), params, nil
	}
	name, got, err := parse(answer)
	if err != nil || name != "permessage-deflate" || strings.Contains(answer, ",") {
		return fmt.Errorf("%q is not one extension (%v)", answer, err)
	}
	fits := func(offer map[string]string) error {
		for key, value := range got {
			asked, was := offer[key]
			switch key {
			case "server_no_context_takeover", "client_no_context_takeover":
				if value != "" {
					return fmt.Errorf("%s has the value %q", key, value)
				}
			case "server_max_window_bits":
				if was && asked < value && len(asked) == len(value) || !windowBits(value) {
					return fmt.Errorf("%s=%s though %q was asked for", key, value, asked)
				}
			case "client_max_window_bits":
				if !was {
					return fmt.Errorf("%s though the client does not know it", key)
				}
				if !windowBits(value) {
					return fmt.Errorf("%s=%s", key, value)
				}
			default:
				return fmt.Errorf("unknown %s", key)
			}
		}
		for _, key := range []string{"server_no_context_takeover", "server_max_window_bits"} {
			if _, asked := offer[key]; asked {
				if _, ok := got[key]; !ok {
					return fmt.Errorf("%s was asked for and not granted", key)
				}
			}
		}
		return nil
	}
	err = fmt.Errorf("nothing was offered")
	for _, o := range offers {
		name, params, perr := parse(o)
		if perr != nil || name != "permessage-deflate" {
			continue
		}
		if err = fits(params); err == nil {
			return nil
		}
	}
	return err
}

func TestDeflateOffers(t *testing.T) { // Autobahn 13
	const pmd = "permessage-deflate"
	tests := []struct {
		offers []string
		agree  bool
	}{
		{[]string{pmd}, true}, // 13.1
		{[]string{pmd + "; client_max_window_bits"}, true},
		{[]string{pmd + "; client_no_context_takeover"}, true}, // 13.2
		{[]string{pmd + "; server_no_context_takeover"}, true},
		{[]string{pmd + "; client_no_context_takeover; server_no_context_takeover"}, true},
		{[]string{pmd + "; server_no_context_takeover; client_max_window_bits; client_no_context_takeover"}, true},
		{[]string{pmd + "; client_max_window_bits=8"}, true},
		{[]string{pmd + "; client_max_window_bits=9"}, true}, // 13.3
		{[]string{pmd + "; client_max_window_bits=15"}, true},
		{[]string{pmd + "; server_max_window_bits=15"}, true}, // 13.4
		{[]string{pmd + `; server_max_window_bits="15"`}, true},
		{[]string{pmd + "; client_no_context_takeover; client_max_window_bits=9"}, true}, // 13.5
		{[]string{pmd + "; client_no_context_takeover; client_max_window_bits=15; server_max_window_bits=15"}, true},
		{[]string{pmd + "; server_max_window_bits=9", pmd + "; server_max_window_bits=15", pmd}, true}, // 13.7: fallbacks
		{[]string{pmd + "; server_max_window_bits=8", pmd}, true},
		{[]string{pmd + "; server_no_context_takeover; server_no_context_takeover", pmd}, true},
		{[]string{"x-webkit-deflate-frame", "permessage-bzip2; level=9", pmd + "; client_max_window_bits"}, true},
		{[]string{pmd + "; new_parameter", pmd}, true},
		{[]string{pmd + "; client_max_window_bits=16", pmd + "; client_max_window_bits=7", pmd + "; client_max_window_bits=12"}, true},

		// Declined: the session goes on without.
		{[]string{pmd + "; server_max_window_bits=9"}, false},
		{[]string{pmd + "; server_max_window_bits=14"}, false},
		{[]string{pmd + "; server_max_window_bits"}, false},
		{[]string{pmd + "; server_max_window_bits=7"}, false},
		{[]string{pmd + "; server_max_window_bits=16"}, false},
		{[]string{pmd + "; server_max_window_bits=015"}, false},
		{[]string{pmd + "; client_max_window_bits=7"}, false},
		{[]string{pmd + "; client_max_window_bits=16"}, false},
		{[]string{pmd + "; client_max_window_bits=ten"}, false},
		{[]string{pmd + "; client_max_window_bits; client_max_window_bits=10"}, false},
		{[]string{pmd + "; server_max_window_bits=15; server_max_window_bits=15"}, false},
		{[]string{pmd + "; client_no_context_takeover=1"}, false},
		{[]string{pmd + "; server_no_context_takeover=true"}, false},
		{[]string{pmd + "; unknown"}, false},
		{[]string{pmd + "; unknown=1; client_max_window_bits"}, false},
		{[]string{"permessage-snappy"}, false},
	}
	eachStrictDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{PerMessageDeflate: &PerMessageDeflate{Threshold: 10}}, nil)
		for _, tt := range tests {
			one := []string{strings.Join(tt.offers, ", ")}
			for _, lines := range [][]string{one, tt.offers} { // in one header, in several
				if len(tt.offers) == 1 && &lines[0] == &tt.offers[0] {
					continue
				}
				request := strings.Replace(benchRequest, "Host: x", "Host: "+r.addr, 1)
				for _, l := range slices.Backward(lines) {
					request = strings.Replace(request, "\r\nSec-WebSocket-Key", "\r\nSec-WebSocket-Extensions: "+l+"\r\nSec-WebSocket-Key", 1)
				}
				t.Run(strings.Join(lines, " + "), func(t *testing.T) {
					nc, err := r.dial()
					if err != nil {
						t.Fatal(err)
					}
					c := newWSClient(t, nc, []byte(request))
					c.want101()
					c.text()
					answer := c.header["Sec-Websocket-Extensions"]
					c.send("4" + prose(2000))
					c.want("4" + prose(2000))
					if !tt.agree {
						if answer != nil || c.deflated != 0 {
							t.Errorf("answered with %q, %d compressed", answer, c.deflated)
						}
						c.write(deflatedText("4x"))
						c.wantCloseFrame(1002)
						return
					}
					if len(answer) != 1 || c.deflated != 1 {
						t.Fatalf("answered with %q, %d compressed", answer, c.deflated)
					}
					if err := agreed(tt.offers, answer[0]); err != nil {
						t.Errorf("%q: %v", answer[0], err)
					}
					// Every message stands for itself, both ways: the same twice over.
					for range 2 {
						c.write(deflatedText("4" + prose(500)))
						c.want("4" + prose(500))
					}
					if c.deflated != 3 {
						t.Errorf("%d compressed", c.deflated)
					}
					c.close()
				})
			}
		}
	})
}

// The check itself can tell.
func TestAgreed(t *testing.T) {
	for _, tt := range []struct{ offer, answer string }{
		{"permessage-deflate", "permessage-deflate; client_max_window_bits=15"},
		{"permessage-deflate", "permessage-deflate, permessage-deflate"},
		{"permessage-deflate", "permessage-deflate; x"},
		{"permessage-deflate", "permessage-deflate; server_no_context_takeover; server_no_context_takeover"},
		{"permessage-deflate; server_no_context_takeover", "permessage-deflate"},
		{"permessage-deflate; server_max_window_bits=10", "permessage-deflate; server_max_window_bits=15"},
		{"permessage-deflate; server_max_window_bits=10", "permessage-deflate"},
		{"permessage-deflate; client_max_window_bits", "permessage-deflate; client_max_window_bits"},
		{"x", "permessage-deflate"},
	} {
		if agreed([]string{tt.offer}, tt.answer) == nil {
			t.Errorf("%q is taken for an answer to %q", tt.answer, tt.offer)
		}
	}
}
