package mounts

import (
	"io"
	"net/http"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/go-chi/cors"

	"github.com/epio-go/epio/sio"
)

// Chi mounts srv in a chi.Router.
func Chi(srv *sio.Server) chi.Router {
	r := chi.NewRouter()
	r.Use(middleware.Logger, middleware.Recoverer, middleware.Compress(5))
	r.Use(cors.Handler(cors.Options{AllowedOrigins: []string{"https://app.example"}}))

	r.Mount("/socket.io/", srv)
	r.Get("/hello", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
	r.Get("/panic", func(http.ResponseWriter, *http.Request) { panic("on purpose") })
	return r
}
