package mounts

import (
	"net/http"

	"github.com/labstack/echo/v5"
	"github.com/labstack/echo/v5/middleware"

	"github.com/epio-go/epio/sio"
)

// Echo mounts srv in an echo.Echo, version 5.
func Echo(srv *sio.Server) *echo.Echo {
	e := echo.New()
	e.Use(middleware.RequestLogger(), middleware.Recover(), middleware.CORS("https://app.example"), middleware.Gzip())

	e.Any("/socket.io/*", echo.WrapHandler(srv))
	e.GET("/hello", func(c *echo.Context) error { return c.String(http.StatusOK, "hello") })
	e.GET("/panic", func(*echo.Context) error { panic("on purpose") })
	return e
}
