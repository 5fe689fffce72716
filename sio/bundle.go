package sio

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"

	"github.com/epio-go/epio/internal/coding"
)

// clientFiles are the names below which the client library is served, those of the
// reference.
var clientFiles = []string{
	"socket.io.js",
	"socket.io.js.map",
	"socket.io.min.js",
	"socket.io.min.js.map",
	"socket.io.esm.min.js",
	"socket.io.esm.min.js.map",
	"socket.io.msgpack.min.js",
	"socket.io.msgpack.min.js.map",
}

// bundle adds handlers for the client library in fsys to files.
func bundle(fsys fs.FS, files map[string]http.Handler) (map[string]http.Handler, error) {
	files = maps.Clone(files)
	if files == nil {
		files = make(map[string]http.Handler)
	}
	found := false
	for _, name := range clientFiles {
		content, err := fs.ReadFile(fsys, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot be read: %w", err)
		}
		found = true
		if files[name] == nil {
			files[name] = newAsset(name, content)
		}
	}
	if !found {
		return nil, fmt.Errorf("holds none of %s", strings.Join(clientFiles, ", "))
	}
	return files, nil
}

// asset is one file in memory.
type asset struct {
	content []byte
	kind    string
	etag    string // quoted; of the content, however it is coded

	once   sync.Once
	zipped []byte
}

func newAsset(name string, content []byte) *asset {
	sum := sha256.Sum256(content)
	a := &asset{
		content: content,
		kind:    "application/javascript; charset=utf-8",
		etag:    `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`,
	}
	if strings.HasSuffix(name, ".map") {
		a.kind = "application/json; charset=utf-8"
	}
	return a
}

// ServeHTTP answers GET and HEAD. Browsers ask each time whether their copy is fresh.
func (a *asset) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "public, max-age=0")
	h.Set("ETag", a.etag)
	h.Add("Vary", "Accept-Encoding")
	if matchesETag(r.Header.Get("If-None-Match"), a.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", a.kind)
	h.Set("X-Content-Type-Options", "nosniff")
	body := a.content
	if coding.Choose(r.Header["Accept-Encoding"]) == coding.Gzip {
		body = a.gzip()
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodHead {
		return
	}
	_, _ = w.Write(body) // the client has gone: nobody to tell
}

// gzip returns the content compressed, which is done once.
func (a *asset) gzip() []byte {
	a.once.Do(func() {
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // a valid level
		_, _ = z.Write(a.content)                             // memory takes everything
		_ = z.Close()
		a.zipped = b.Bytes()
	})
	return a.zipped
}

// matchesETag reports whether an If-None-Match holds the tag, weak or strong.
//
// Source: RFC 9110 section 13.1.2.
func matchesETag(list, etag string) bool {
	for tag := range strings.SplitSeq(list, ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			return true
		}
	}
	return false
}
