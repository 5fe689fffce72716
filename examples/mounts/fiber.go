package mounts

import (
	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/adaptor"
	"github.com/gofiber/fiber/v3/middleware/compress"
	"github.com/gofiber/fiber/v3/middleware/cors"
	"github.com/gofiber/fiber/v3/middleware/logger"
	"github.com/gofiber/fiber/v3/middleware/recover"

	"github.com/epio-go/epio/sio"
)

// Fiber mounts srv in a fiber.App through fiber's adaptor for net/http. FiberBehind is the better way: here a WebSocket
// costs two goroutines, and a polling client that goes away is noticed only by the heartbeat.
func Fiber(srv *sio.Server) *fiber.App {
	app := fiberApp()
	app.All("/socket.io/*", adaptor.HTTPHandler(srv))
	return app
}

// FiberBehind puts srv in front of a fiber.App: srv.Serve accepts the connections, answers what is below /socket.io/, and
// gives all other requests to the app. Fiber's own app.Listen is not called.
func FiberBehind(srv *sio.Server) *fiber.App {
	app := fiberApp()
	srv.SetFallback(adaptor.FiberApp(app))
	return app
}

func fiberApp() *fiber.App {
	app := fiber.New()
	app.Use(logger.New(), recover.New(), cors.New(cors.Config{AllowOrigins: []string{"https://app.example"}}), compress.New())
	app.Get("/hello", func(c fiber.Ctx) error { return c.SendString("hello") })
	app.Get("/panic", func(fiber.Ctx) error { panic("on purpose") })
	return app
}
