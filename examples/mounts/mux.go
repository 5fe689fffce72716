package mounts

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"

	"github.com/klauspost/compress/gzhttp"

	"github.com/epio-go/epio/sio"
)

// Mux mounts srv in a ServeMux, behind middleware of the usual form.
func Mux(srv *sio.Server) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/socket.io/", srv)
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
	mux.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic("on purpose") })
	return logged(recovered(gzhttp.GzipHandler(mux)))
}

// statusWriter notes the status for the log. A wrapper needs Unwrap or Hijack, or there is no WebSocket behind it. Unwrap
// is enough for epio and all that uses http.ResponseController; gzhttp, which stands in between here, asks for Hijack.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *statusWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// logged logs every request when it is answered. An upgraded one has status 0: its answer does not pass here.
func logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sw := &statusWriter{ResponseWriter: w}
		next.ServeHTTP(sw, r)
		slog.DebugContext(r.Context(), "request", "method", r.Method, "path", r.URL.Path, "status", sw.status)
	})
}

// recovered answers 500 for a handler that panics.
func recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch p := recover(); p {
			case nil:
			case http.ErrAbortHandler: // asks net/http to cut the connection
				panic(p)
			default:
				slog.ErrorContext(r.Context(), "handler panicked", "path", r.URL.Path, "panic", p)
				http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}
