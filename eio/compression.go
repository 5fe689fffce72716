package eio

import (
	"io"
	"net/http"
	"reflect"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"

	"github.com/epio-go/epio/internal/coding"
	"github.com/epio-go/epio/pool"
)

// coding returns the content coding of an answer to r with size bytes, or "", and says in the headers
// of w that the answer depends on that.
//
// Source: RFC 9110 sections 8.4 and 12.5.
func (srv *Server) coding(w http.ResponseWriter, r *http.Request, compress bool, size int) string {
	h := w.Header()
	switch {
	case srv.cfg.DisableHTTPCompression, !compress, size < srv.cfg.HTTPCompressionThreshold,
		h.Get("Content-Encoding") != "", !unwrapped(w):
		return ""
	}
	h.Add("Vary", "Accept-Encoding")
	return coding.Choose(r.Header["Accept-Encoding"])
}

// compressed returns body, which it takes, as the client of r wants to have it, and says so in
// the headers of w. In the end the answer to a poll is in memory at its smaller size while the client
// reads it at its own pace; the compressor is free by then.
func (srv *Server) compressed(w http.ResponseWriter, r *http.Request, body payload) *pool.Buf {
	encoding := srv.coding(w, r, body.compress, len(body.B))
	if encoding == "" {
		return body.Buf
	}
	z := encodeBody(encoding, body.B)
	if len(z.B) >= len(body.B) {
		z.Release()
		return body.Buf
	}
	w.Header().Set("Content-Encoding", encoding)
	body.Release()
	return z
}

// unwrapped reports whether w is net/http's own. Behind a middleware that has put its writer
// in between we leave compression to it: some compress what is compressed already,
// whatever its headers say (echo's Gzip).
func unwrapped(w http.ResponseWriter) bool {
	t := reflect.TypeOf(w)
	return t.Kind() == reflect.Pointer && t.Elem().PkgPath() == "net/http"
}

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
func encodeBody(name string, body []byte) *pool.Buf {
	out := bufWriter{pool.Get(len(body))}
	err := encode(name, out, func(w io.Writer) error {
		_, err := w.Write(body)
		return err
	})
	if err != nil {
		panic(err) // bufWriter does not fail
	}
	return out.Buf
}

// encode writes what body writes to w in a content coding. It returns the first error of w.
func encode(name string, w io.Writer, body func(io.Writer) error) error {
	encoders := &gzips
	if name == coding.Deflate {
		encoders = &zlibs
	}
	e := encoders.Get().(encoder)
	defer encoders.Put(e)
	e.Reset(w)
	err := body(e)
	if err == nil {
		err = e.Close()
	}
	e.Reset(io.Discard) // keeps nothing that has gone back
	return err
}

// bufWriter is a pool.Buf as an io.Writer.
type bufWriter struct{ *pool.Buf }

func (w bufWriter) Write(p []byte) (int, error) {
	w.Grow(len(p))
	w.B = append(w.B, p...)
	return len(p), nil
}
