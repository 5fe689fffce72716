package mounts

import (
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"github.com/epio-go/epio/sio"
)

// Echo4 mounts srv in an echo.Echo, version 4.
func Echo4(srv *sio.Server) *echo.Echo {
	e := echo.New()
	e.Use(middleware.RequestID(), middleware.Recover(), middleware.Gzip())
	e.Use(middleware.CORSWithConfig(middleware.CORSConfig{AllowOrigins: []string{"https://app.example"}}))

	e.Any("/socket.io/*", echo.WrapHandler(srv))
	e.GET("/hello", func(c echo.Context) error { return c.String(http.StatusOK, "hello") })
	e.GET("/panic", func(echo.Context) error { panic("on purpose") })
	return e
}
