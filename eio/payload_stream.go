package eio

import (
	"encoding/base64"
	"io"
	"net/http"
	"strconv"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/pool"
)

// streamFrom is the size in bytes from which an answer to a poll is not put together in memory but
// written from its frames, piece by piece. See docs/decisions/0007-streaming-answers.md.
const streamFrom = 64 << 10

// pieceSize is the size of those pieces in bytes; a multiple of 3 fits, for base64.
const pieceSize = 24 << 10

// streams holds a token for each answer that may be compressed while the client reads it, each
// with a compressor of its own for as long as that takes. A client that comes when there is none
// gets its answer compressed as a whole.
var streams = make(chan struct{}, 64)

// send writes a payload that is to be streamed. It takes p.
func (p *payload) send(srv *Server, w http.ResponseWriter, r *http.Request) {
	defer p.Release()
	h := w.Header()
	h.Set("Content-Type", p.contentType())
	encoding := srv.coding(w, r, p.compress, p.size)
	if encoding == "" {
		h.Set("Content-Length", strconv.Itoa(p.size))
		w.WriteHeader(http.StatusOK)
		p.writeTo(w) // a failure shows as a missing next request
		return
	}
	h.Set("Content-Encoding", encoding)
	select {
	case streams <- struct{}{}:
		defer func() { <-streams }()
	default:
		z := bufWriter{pool.Get(p.size / 2)}
		encode(encoding, z, p.writeTo)
		h.Set("Content-Length", strconv.Itoa(len(z.B)))
		w.WriteHeader(http.StatusOK)
		w.Write(z.B)
		z.Release()
		return
	}
	w.WriteHeader(http.StatusOK)
	out := pieces{w: w, buf: pool.Get(pieceSize)}
	defer out.buf.Release()
	if encode(encoding, &out, p.writeTo) == nil {
		out.flush()
	}
}

// writeTo writes the payload of Engine.IO v4 that codec.AppendPayload makes of all frames.
func (p *payload) writeTo(w io.Writer) error {
	out := pieces{w: w, buf: pool.Get(pieceSize)}
	defer out.buf.Release()
	first := true
	for _, f := range p.frames {
		for rest := f.Bytes(); len(rest) > 0; {
			var data []byte
			var binary bool
			data, binary, rest = codec.NextPart(rest)
			if !first {
				out.Write(separator)
			}
			first = false
			if binary {
				out.writeBase64(data)
			} else {
				out.Write(data)
			}
			if out.err != nil {
				return out.err
			}
		}
	}
	out.flush()
	return out.err
}

var separator, base64Prefix = []byte{codec.Separator}, []byte("b")

// pieces collects small writes. After an error it does nothing.
type pieces struct {
	w   io.Writer
	buf *pool.Buf
	err error
}

// Write implements io.Writer. Large writes are not copied.
func (o *pieces) Write(p []byte) (int, error) {
	if len(o.buf.B)+len(p) > pieceSize {
		o.flush()
	}
	if len(p) < pieceSize {
		o.buf.B = append(o.buf.B, p...)
	} else if o.err == nil {
		_, o.err = o.w.Write(p)
	}
	return len(p), o.err
}

// writeBase64 writes a binary message.
func (o *pieces) writeBase64(data []byte) {
	o.Write(base64Prefix)
	const most = pieceSize / 4 * 3
	for len(data) > 0 && o.err == nil {
		part := data[:min(most, len(data))]
		data = data[len(part):]
		if len(o.buf.B)+base64.StdEncoding.EncodedLen(len(part)) > pieceSize {
			o.flush()
		}
		o.buf.B = base64.StdEncoding.AppendEncode(o.buf.B, part)
	}
}

func (o *pieces) flush() {
	if len(o.buf.B) > 0 && o.err == nil {
		_, o.err = o.w.Write(o.buf.B)
	}
	o.buf.B = o.buf.B[:0]
}
