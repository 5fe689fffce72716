package mounts

import (
	"net/http"
	"strings"

	"github.com/gin-contrib/cors"
	"github.com/gin-contrib/gzip"
	"github.com/gin-gonic/gin"

	"github.com/epio-go/epio/sio"
)

// Gin mounts srv in a gin.Engine.
func Gin(srv *sio.Server) *gin.Engine {
	r := gin.New()
	r.Use(gin.Logger(), gin.Recovery(), cors.New(cors.Config{AllowOrigins: []string{"https://app.example"}}))
	r.Use(gzip.Gzip(gzip.DefaultCompression, gzip.WithCustomShouldCompressFn(compressible)))

	r.Any("/socket.io/*any", gin.WrapH(srv))
	r.GET("/hello", func(c *gin.Context) { c.String(http.StatusOK, "hello") })
	r.GET("/panic", func(*gin.Context) { panic("on purpose") })
	return r
}

// compressible keeps gzip away from WebSocket upgrades. Its own rule knows "Connection: Upgrade" but not the "upgrade" that
// proxies send; it then writes the end of an empty gzip stream behind the upgrade, which net/http refuses and logs.
func compressible(c *gin.Context) bool {
	return !c.IsWebsocket() && strings.Contains(c.GetHeader("Accept-Encoding"), "gzip")
}
