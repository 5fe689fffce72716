package eio

import (
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"

	"github.com/epio-go/epio/pool"
)

// compressed returns body, which it takes, as the client of r wants to have it, and says so in
// h. In the end the answer to a poll is in memory at its smaller size while the client
// reads it at its own pace; the compressor is free by then.
//
// Source: RFC 9110 sections 8.4 and 12.5.
func (srv *Server) compressed(h http.Header, r *http.Request, body payload) *pool.Buf {
	if srv.cfg.DisableHTTPCompression || !body.compress || len(body.B) < srv.cfg.HTTPCompressionThreshold || h.Get("Content-Encoding") != "" {
		return body.Buf
	}
	h.Add("Vary", "Accept-Encoding")
	encoding := chooseEncoding(r.Header["Accept-Encoding"])
	if encoding == "" {
		return body.Buf
	}
	z := encodeBody(encoding, body.B)
	if len(z.B) >= len(body.B) {
		z.Release()
		return body.Buf
	}
	h.Set("Content-Encoding", encoding)
	body.Release()
	return z
}

// The content codings we have.
const (
	codingGzip    = "gzip"
	codingDeflate = "deflate" // which is the zlib format
)

// encoder is a compressor that can be used again.
type encoder interface {
	io.WriteCloser
	Reset(io.Writer)
}

// Compressors are some 750 KB each.
var (
	gzips = sync.Pool{New: func() any { return gzip.NewWriter(io.Discard) }}
	zlibs = sync.Pool{New: func() any { return zlib.NewWriter(io.Discard) }}
)

// encodeBody returns body in a content coding. The caller releases it.
func encodeBody(coding string, body []byte) *pool.Buf {
	encoders := &gzips
	if coding == codingDeflate {
		encoders = &zlibs
	}
	e := encoders.Get().(encoder)
	defer encoders.Put(e)
	out := bufWriter{pool.Get(len(body))}
	e.Reset(out)
	if _, err := e.Write(body); err != nil {
		panic(err) // bufWriter does not fail
	}
	if err := e.Close(); err != nil {
		panic(err)
	}
	e.Reset(io.Discard) // keeps no buffer that has gone back
	return out.Buf
}

// bufWriter is a pool.Buf as an io.Writer.
type bufWriter struct{ *pool.Buf }

func (w bufWriter) Write(p []byte) (int, error) {
	w.Grow(len(p))
	w.B = append(w.B, p...)
	return len(p), nil
}

// chooseEncoding returns the coding that a client with this Accept-Encoding likes best, gzip
// of equals, or "" for none:
//
//	gzip, deflate, br
//	deflate;q=0.5, *;q=0.1, identity;q=0
//
// Source: RFC 9110 section 12.5.3.
func chooseEncoding(accept []string) string {
	gzip, deflate, identity, rest := -1, -1, 0, 0
	for _, line := range accept {
		for item := range strings.SplitSeq(line, ",") {
			name, q := parseCoding(item)
			switch {
			case strings.EqualFold(name, codingGzip), strings.EqualFold(name, "x-gzip"):
				gzip = max(gzip, q)
			case strings.EqualFold(name, codingDeflate):
				deflate = max(deflate, q)
			case strings.EqualFold(name, "identity"):
				identity = q
			case name == "*":
				rest = q
			}
		}
	}
	if gzip < 0 {
		gzip = rest
	}
	if deflate < 0 {
		deflate = rest
	}
	switch best := max(gzip, deflate); {
	case best == 0 || best < identity:
		return ""
	case best == gzip:
		return codingGzip
	}
	return codingDeflate
}

// parseCoding splits "gzip;q=0.5" into the name and the weight in thousandths. One that is
// not well-formed has the weight 0.
func parseCoding(item string) (name string, q int) {
	name, params, weighted := strings.Cut(item, ";")
	name = strings.Trim(name, " \t")
	if !weighted {
		return name, 1000
	}
	key, value, _ := strings.Cut(strings.Trim(params, " \t"), "=")
	if !strings.EqualFold(key, "q") || len(value) == 0 || len(value) > 5 || (len(value) > 1 && value[1] != '.') {
		return name, 0
	}
	for i, unit := 0, 1000; i < len(value); i++ {
		if i == 1 {
			continue // the point
		}
		if value[i] < '0' || value[i] > '9' {
			return name, 0
		}
		q += int(value[i]-'0') * unit
		unit /= 10
	}
	if q > 1000 {
		return name, 0
	}
	return name, q
}
