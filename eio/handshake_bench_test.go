package eio

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/epio-go/epio/pool"
)

// browserHead resembles what a browser sends.
const browserHead = "GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\n" +
	"Host: example.com\r\nConnection: Upgrade\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n" +
	"Upgrade: websocket\r\nOrigin: http://example.com\r\nSec-WebSocket-Version: 13\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

func BenchmarkParseHead(b *testing.B) {
	more := func(s string) string { return strings.Replace(goodHead, "User-Agent: test\r\n", s, 1) }
	for _, bc := range []struct {
		name, raw string
		ok        bool
	}{
		{"head=short", goodHead, true},
		{"head=browser", browserHead, true},
		{"head=manyHeaders/bytes=16384", more(strings.Repeat("X: y\r\n", (16<<10)/6)), true},
		{"head=longValue/bytes=16384", more("X: " + strings.Repeat("y", 16<<10) + "\r\n"), true},
		{"head=manyTokens/bytes=16384", more("Connection: " + strings.Repeat("y,", 8<<10) + "\r\n"), true},
		{"head=longTarget/bytes=16384", strings.Replace(goodHead, "EIO=4", strings.Repeat("a=b&", 4<<10)+"EIO=4", 1), true},
		{"head=refusedLast/bytes=16384", more(strings.Repeat("X: y\r\n", (16<<10)/6) + "Content-Length: 5\r\n"), false},
	} {
		b.Run(bc.name, func(b *testing.B) {
			b.SetBytes(int64(len(bc.raw)))
			b.ReportAllocs()
			for b.Loop() {
				if h, ok := parseHead(bc.raw); ok != bc.ok || ok && !h.upgrade {
					b.Fatalf("%+v %v", h, ok)
				}
			}
		})
	}
}

// A head that comes in small pieces is searched again for each of them.
func BenchmarkFindHead(b *testing.B) {
	raw := []byte(strings.Replace(goodHead, "User-Agent: test\r\n", strings.Repeat("X: y\r\n", (16<<10)/6), 1))
	for _, piece := range []int{1, 100, len(raw)} {
		b.Run(fmt.Sprintf("bytes=%d/piece=%d", len(raw), piece), func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				found := 0
				for have, seen := 0, 0; found == 0 && have < len(raw); seen = have {
					have = min(have+piece, len(raw))
					found = findHead(raw[:have], seen)
				}
				if found != len(raw) {
					b.Fatalf("a head of %d bytes, want %d", found, len(raw))
				}
			}
		})
	}
}

func BenchmarkParseQuery(b *testing.B) {
	for _, bc := range []struct{ name, raw string }{
		{"query=usual", "EIO=4&transport=websocket&sid=lv_VI97HAXpY6yYWAAAC&t=abc"},
		{"query=manyKeys/bytes=16384", strings.Repeat("a=b&", 4<<10) + "EIO=4&transport=websocket"},
		{"query=escapes/bytes=16384", "a=" + strings.Repeat("%20", 5<<10) + "&EIO=4&transport=%77ebsocket"},
	} {
		b.Run(bc.name, func(b *testing.B) {
			b.SetBytes(int64(len(bc.raw)))
			b.ReportAllocs()
			for b.Loop() {
				if q := parseQuery(bc.raw); q.transport != "websocket" || q.eio != "4" {
					b.Fatalf("%+v", q)
				}
			}
		})
	}
}

// BenchmarkUpgradeAnswer is the 101 response.
func BenchmarkUpgradeAnswer(b *testing.B) {
	for _, bc := range []struct {
		name string
		h    http.Header
	}{
		{"headers=none", nil},
		{"headers=cors", http.Header{"Access-Control-Allow-Origin": {"http://example.com"}, "Access-Control-Allow-Credentials": {"true"}, "Vary": {"Origin"}}},
	} {
		b.Run(bc.name, func(b *testing.B) {
			accept := []byte("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n")
			b.ReportAllocs()
			for b.Loop() {
				p := append101(pool.Get(512), &opening{key: "dGhlIHNhbXBsZSBub25jZQ=="}, "", bc.h)
				if !bytes.Contains(p.B, accept) {
					b.Fatalf("%q", p.B)
				}
				p.Release()
			}
		})
	}
}
