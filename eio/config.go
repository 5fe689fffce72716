package eio

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/internal/safelog"
)

// Defaults of Config.
const (
	DefaultPath             = "/engine.io"
	DefaultPingInterval     = 25 * time.Second
	DefaultPingTimeout      = 20 * time.Second
	DefaultUpgradeTimeout   = 10 * time.Second
	DefaultMaxPayload       = 1_000_000
	DefaultSendBuffer       = 4 << 20
	DefaultHandshakeTimeout = 10 * time.Second
	DefaultMaxHeaderBytes   = 16 << 10
	DefaultThreshold        = 1024
)

// Config configures a Server. The zero value works and matches the reference
// server's defaults; limits the reference lacks have their reason beside them. The
// server copies it: changes after NewServer have no effect.
type Config struct {
	// Path is where the engine answers, as a prefix of the request path. One
	// trailing slash is stripped and one is added, so "/engine.io" matches
	// "/engine.io/" and everything below but not "/engine.io" itself. Default "/engine.io".
	Path string
	// DisableTrailingSlash adds no slash: then "/engine.io" and everything that
	// starts with these characters matches.
	DisableTrailingSlash bool

	// DestroyUpgrade cuts connections that ask the fallback for an upgrade and that it neither
	// answers nor takes over in DestroyUpgradeTimeout; the context of the request ends, too.
	// Where the Server is mounted in a router, only requests that the router passes to it
	// count. Default off, unlike the reference: net/http answers for a handler that returns,
	// so that such connections are rare, and a handler may have good reason to take its time.
	DestroyUpgrade bool
	// DestroyUpgradeTimeout is the time for that. Default 1 s.
	DestroyUpgradeTimeout time.Duration

	// PingInterval is the time from the handshake or a PONG to the next PING.
	// It is announced in the handshake. Default 25 s, at least 1 ms. Clients of
	// Engine.IO v3 send the PING themselves, and may be silent for PingInterval
	// and PingTimeout together.
	PingInterval time.Duration
	// PingTimeout is the longest wait for the PONG, counted from the moment the PING
	// was due. It is announced in the handshake. Default 20 s, at least 1 ms.
	PingTimeout time.Duration
	// UpgradeTimeout is the time from the arrival of a second transport to its
	// UPGRADE packet. When it is over only that transport is closed. It also bounds the time
	// from a WebTransport session to the OPEN packet on its stream. Default 10 s.
	UpgradeTimeout time.Duration

	// AllowEIO3 also accepts clients of Engine.IO v3: the JavaScript clients of
	// Socket.IO 1 and 2. They are all that do not ask for revision 4. Default: refused
	// with code 5.
	//
	// In package sio the session id of such a client is also the id of its socket in
	// "/", so whoever gets to see that id can use the session, as with the reference.
	AllowEIO3 bool

	// MaxPayload is the greatest number of bytes, inclusive, of one POST body, of one
	// WebSocket message and of one packet on WebTransport. It is announced in the handshake. Default 1,000,000.
	MaxPayload int
	// Transports lists what clients may use: "polling", "websocket", "webtransport". The last
	// one needs an HTTP/3 server that hands its sessions over, see [Server.WebTransport].
	// Default "polling" and "websocket".
	Transports []string
	// DisableUpgrades announces no upgrades and refuses them with HTTP 400. The
	// reference only stops announcing them.
	DisableUpgrades bool

	// AllowRequest decides about every handshake (a request without sid), after
	// the checks of transport and method; for WebTransport that is the CONNECT request. A *RefuseError carries the text for the client; any
	// other error is told as "Forbidden". It may block and runs on the
	// goroutine of the request.
	AllowRequest func(r *http.Request) error
	// SessionContext returns a context whose values the session keeps, see
	// Handshake.Context: what a middleware outside, or Middleware, has found out about the
	// request and put on its context. r is the opening request as they passed it on. Its
	// end and deadline are not kept. To return r.Context() keeps all that hangs on it,
	// which is some KiB for each session with net/http; to return a new context with the
	// values of interest keeps those:
	//
	//	return context.WithValue(context.Background(), userKey, r.Context().Value(userKey))
	//
	// It may block and runs on the goroutine of the request. With it, the connections of
	// Serve open their sessions through net/http. Default nil: nothing is kept.
	SessionContext func(r *http.Request) context.Context
	// GenerateID makes the session id, which must be unguessable and unique. Default: 20
	// characters of url-safe base64 from crypto/rand. It may block. Its error, or an id that
	// exists, is answered with HTTP 400 code 3.
	GenerateID func(r *http.Request) (string, error)

	// Middleware wraps the handling of every engine request, polling and upgrades alike: a
	// rate limit, a session cookie, a log. It runs after CORS and before all checks. On
	// the connections of Serve it sends WebSocket handshakes through net/http as well.
	// Default nil: none.
	Middleware func(http.Handler) http.Handler
	// Files are served below Path to GET and HEAD, by their names: "socket.io.js". They do
	// not pass through Middleware. Default nil: none.
	Files map[string]http.Handler

	// CORS adds cross-origin headers and answers preflight requests. Default nil: neither.
	CORS *CORSOptions
	// Cookie is set on the response of a polling handshake, its value is the
	// session id. Default nil: no cookie.
	Cookie *Cookie
	// OnHeaders may change the headers of every engine response (GET, POST, 101) to a
	// valid request. It may block and must not keep h.
	OnHeaders func(h http.Header, r *http.Request)
	// OnInitialHeaders may change the headers of the first response of a session, before
	// OnHeaders. It may block and must not keep h.
	OnInitialHeaders func(h http.Header, r *http.Request)
	// InitialPacket is one message sent with the handshake, in the same response. Default nil: none.
	InitialPacket *InitialPacket

	// MaxConns bounds the number of sessions. Handshakes beyond it are answered with
	// HTTP 503. 0 means no limit.
	MaxConns int
	// Admission bounds handshakes, by client address and altogether. Default: no limits.
	Admission Admission
	// SendBuffer bounds the bytes that wait for one connection, whatever the
	// transport. The reference has no limit, so that one slow client can take all memory.
	// Default 4 MiB.
	SendBuffer int
	// Flow says when a connection counts as slow, and who is told. Default: nothing.
	Flow Flow
	// HTTPCompressionThreshold is the least number of bytes of an answer to a poll that is
	// compressed, with gzip or deflate, for clients that accept it. Behind a middleware that
	// wraps the http.ResponseWriter nothing is: it may compress itself. Default 1024.
	HTTPCompressionThreshold int
	// DisableHTTPCompression compresses no answers to polls.
	DisableHTTPCompression bool
	// PerMessageDeflate compresses messages on WebSocket, for clients that offer it.
	// Default nil: it is not negotiated, as in the reference.
	PerMessageDeflate *PerMessageDeflate
	// HandshakeTimeout bounds the time a connection accepted by Serve may take
	// for its request head. Default 10 s.
	HandshakeTimeout time.Duration
	// MaxHeaderBytes bounds the request head of connections accepted by Serve.
	// Default 16 KiB, at least 1 KiB.
	MaxHeaderBytes int

	// OnConnectionError is told of every refused engine request, and of every POST body over
	// MaxPayload (Err is a *SizeError). It may block and runs on the goroutine of the request.
	OnConnectionError func(*ConnectionError)

	// Hooks are told of packets, heartbeats and upgrades. Default nil: nobody is.
	Hooks *Hooks

	// Portable forces the engine that uses one goroutine per connection, also
	// where the reactor is available.
	Portable bool
	// Reactor chooses what watches the connections where there is a choice. The
	// default is [engine.Epoll].
	Reactor engine.Reactor
	// Logger receives diagnostics. nil means none.
	Logger *slog.Logger
}

// InitialPacket is a message sent directly after the handshake.
type InitialPacket = Message

// Cookie describes the cookie of a polling handshake. The zero value is
// "io=<sid>; Path=/; HttpOnly; SameSite=Lax".
type Cookie struct {
	Name        string        // default "io"
	Path        string        // default "/"
	Domain      string        // default none
	MaxAge      time.Duration // whole seconds; 0 means a session cookie
	Secure      bool          // implied by a request over TLS that ends in this process
	Partitioned bool
	SameSite    http.SameSite // default Lax
	// NoPath and NoHTTPOnly remove the attribute, as "path: false" and "httpOnly: false" do in the
	// reference.
	NoPath     bool
	NoHTTPOnly bool
}

// normalize fills in defaults and returns every problem it finds, joined.
func (c Config) normalize() (Config, error) {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, &ConfigError{Field: field, Problem: fmt.Sprintf(format, args...)})
	}
	duration := func(field string, d *time.Duration, def time.Duration) {
		switch {
		case *d == 0:
			*d = def
		case *d < time.Millisecond:
			bad(field, "%v is less than 1ms", *d)
		case *d%time.Millisecond != 0:
			bad(field, "%v is not a whole number of milliseconds", *d)
		}
	}
	size := func(field string, n *int, def, least int) {
		switch {
		case *n == 0:
			*n = def
		case *n < least:
			bad(field, "%d is less than %d", *n, least)
		}
	}

	if c.Path == "" {
		c.Path = DefaultPath
	}
	switch {
	case c.Path[0] != '/':
		bad("Path", "%q does not start with a slash", c.Path)
	case strings.ContainsAny(c.Path, "?# \t\r\n"):
		bad("Path", "%q contains a character that no path has", c.Path)
	}
	c.Path = strings.TrimSuffix(c.Path, "/")
	if !c.DisableTrailingSlash {
		c.Path += "/"
	}

	duration("PingInterval", &c.PingInterval, DefaultPingInterval)
	duration("PingTimeout", &c.PingTimeout, DefaultPingTimeout)
	duration("UpgradeTimeout", &c.UpgradeTimeout, DefaultUpgradeTimeout)
	duration("DestroyUpgradeTimeout", &c.DestroyUpgradeTimeout, DefaultDestroyUpgradeTimeout)
	duration("HandshakeTimeout", &c.HandshakeTimeout, DefaultHandshakeTimeout)
	size("MaxPayload", &c.MaxPayload, DefaultMaxPayload, 1)
	size("SendBuffer", &c.SendBuffer, DefaultSendBuffer, 1<<10)
	size("MaxHeaderBytes", &c.MaxHeaderBytes, DefaultMaxHeaderBytes, 1<<10)
	for _, p := range c.Admission.normalize() {
		bad("Admission."+p[0], "%s", p[1])
	}
	for _, p := range c.Flow.normalize(c.SendBuffer) {
		bad("Flow."+p[0], "%s", p[1])
	}
	if c.MaxPayload > 1<<30 {
		bad("MaxPayload", "%d is more than 1 GiB", c.MaxPayload)
	}
	if c.MaxConns < 0 {
		bad("MaxConns", "%d is negative", c.MaxConns)
	}

	if c.Transports == nil {
		c.Transports = []string{"polling", "websocket"}
	} else if len(c.Transports) == 0 {
		bad("Transports", "is empty")
	}
	for i, t := range c.Transports {
		if t != "polling" && t != "websocket" && t != "webtransport" {
			bad("Transports", "%q is not a known transport", t)
		}
		if slices.Contains(c.Transports[:i], t) {
			bad("Transports", "%q is listed twice", t)
		}
	}
	c.Transports = slices.Clone(c.Transports)

	if c.Cookie != nil {
		k := *c.Cookie
		if k.Name == "" {
			k.Name = "io"
		}
		if k.Path == "" {
			k.Path = "/"
		}
		if k.SameSite == 0 {
			k.SameSite = http.SameSiteLaxMode
		}
		if err := k.http("x", false).Valid(); err != nil {
			bad("Cookie", "%v", err)
		}
		if k.MaxAge < 0 || k.MaxAge%time.Second != 0 {
			bad("Cookie.MaxAge", "%v is not a positive number of whole seconds", k.MaxAge)
		}
		c.Cookie = &k
	}
	size("HTTPCompressionThreshold", &c.HTTPCompressionThreshold, DefaultThreshold, 1)
	if c.PerMessageDeflate != nil {
		o := *c.PerMessageDeflate
		size("PerMessageDeflate.Threshold", &o.Threshold, DefaultThreshold, 1)
		c.PerMessageDeflate = &o
	}
	if c.CORS != nil {
		o := *c.CORS
		for _, p := range o.normalize() {
			bad("CORS."+p[0], "%s", p[1])
		}
		c.CORS = &o
	}
	if c.InitialPacket != nil {
		c.InitialPacket = &InitialPacket{Data: slices.Clone(c.InitialPacket.Data), Binary: c.InitialPacket.Binary}
	}
	if c.Hooks != nil {
		h := *c.Hooks
		c.Hooks = &h
	}
	c.Logger = safelog.New(c.Logger)
	return c, errors.Join(errs...)
}

// http returns the cookie for the session id sid. secure says that its request came over TLS.
func (k *Cookie) http(sid string, secure bool) *http.Cookie {
	c := &http.Cookie{
		Name: k.Name, Value: sid, Path: k.Path, Domain: k.Domain, MaxAge: int(k.MaxAge / time.Second),
		Secure: k.Secure || secure, Partitioned: k.Partitioned, HttpOnly: !k.NoHTTPOnly, SameSite: k.SameSite,
	}
	if k.NoPath {
		c.Path = ""
	}
	return c
}
