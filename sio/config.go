package sio

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/eio"
	"github.com/epio-go/epio/internal/safelog"
)

// Defaults of Config.
const (
	DefaultPath              = "/socket.io"
	DefaultConnectTimeout    = 45 * time.Second
	DefaultAckTimeout        = 30 * time.Second
	DefaultAttachmentTimeout = 45 * time.Second
	DefaultQueueEvents       = 256
	DefaultQueueBytes        = 1 << 20
	DefaultMaxNamespaces     = 1000
)

// Config configures a Server. The zero value works: it has the reference server's
// defaults, plus limits that the reference lacks.
type Config struct {
	// Engine configures the transports: path (here "/socket.io" by default),
	// heartbeat, payload and buffer limits, CORS, cookies, request hooks.
	Engine eio.Config

	// Client holds the browser's library, which is then served below Engine.Path, as in
	// <script src="/socket.io/socket.io.min.js">: those of the files socket.io.js,
	// socket.io.min.js, socket.io.esm.min.js, socket.io.msgpack.min.js and their
	// .map that are there. They are read once. The npm packages have them:
	// os.DirFS("node_modules/socket.io-client/dist"). Default nil: not served.
	Client fs.FS

	// ConnectTimeout closes a connection that has joined no namespace this long
	// after it was opened. Default 45 s.
	ConnectTimeout time.Duration

	// AckTimeout bounds Call and Gather when neither their context nor Timeout
	// does. The reference waits for ever and leaks. Default 30 s.
	AckTimeout time.Duration

	// QueueEvents and QueueBytes bound the events of one connection that wait for
	// their handlers. A connection beyond either is not read until half of them
	// are done, so that TCP slows the client down. While a Call to the connection
	// waits for its acknowledgement, which may stand behind the events, 16 times
	// as much is read. Defaults 256 and 1 MiB.
	QueueEvents int
	QueueBytes  int

	// WhenFull says what happens when a packet does not fit into
	// Engine.SendBuffer any more. Default CloseWhenFull. Target.WhenFull decides for
	// one emit.
	WhenFull FullPolicy

	// OnSlow and OnFast are told when a connection becomes slow, and fast again, by the
	// marks of Engine.Flow, which they need: once for each of its connected sockets, with
	// the bytes that wait for the connection. They run on a goroutine of their own, under no lock, and may block;
	// see eio.Flow. Engine.Flow.MaxSlow closes connections that stay slow.
	OnSlow, OnFast func(s *Socket, buffered int)

	// Rates bounds what one connection may do in a second. Default: no limits.
	Rates Rates

	// MaxRooms bounds the rooms one socket may be in, its own not counted: Join returns
	// ErrTooManyRooms, Target.Join leaves the socket out. Default 0: no limit, as in
	// the reference.
	MaxRooms int

	// MaxNamespaces bounds the namespaces one connection may have joined.
	// Default 1000.
	MaxNamespaces int

	// Limits bounds single packets: attachments, nesting. The default of
	// MaxAttachmentBytes is ten times Engine.MaxPayload here.
	Limits codec.Limits

	// AttachmentTimeout is the longest wait for the next attachment of a packet that has announced
	// more. When it is over the connection is closed, with the reason ParseError. Without it
	// a client could leave packets unfinished for ever and keep their memory. The default, 45 s, is
	// as long as a client may be silent with the default heartbeat.
	AttachmentTimeout time.Duration

	// Parser is the wire format of packets: codec.JSON, which clients speak by
	// default, or codec.Msgpack, for clients with the option
	// parser: require("socket.io-msgpack-parser"). A client with the other parser is
	// disconnected at its first packet. With Engine.AllowEIO3 it must be a
	// codec.ParserV4. Default codec.JSON.
	Parser codec.Parser

	// Adapter makes the adapter of each namespace. Default adapter.MemoryFactory.
	Adapter adapter.Factory

	// Hooks observe what the server does, for metrics and tracing. Those that are nil
	// cost nothing.
	Hooks Hooks

	// CountTraffic has Stats count packets and bytes, at the price of two atomic
	// additions a packet.
	CountTraffic bool

	// Recovery switches on connection state recovery. The adapter must offer it
	// (adapter.Recovery): the default one does, and networked ones whose broker keeps
	// a log. nil, the default, is off.
	Recovery *Recovery

	// KeepEmptyChildren keeps the children of patterns, regular expressions and functions
	// when their last socket has left, until Namespace.Delete, as the reference does by
	// default. Clients choose the names, so they can make as many as the parent lets them.
	// Default: they go with their last socket.
	KeepEmptyChildren bool

	// ServerID names this server, see Server.ID. Default: 20 random characters.
	ServerID string

	// Logger receives failed and panicking handlers, refused connections and
	// protocol violations. nil discards.
	Logger *slog.Logger
}

// normalize fills in defaults and returns every problem, joined.
func (c Config) normalize() (Config, error) {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, &ConfigError{Field: field, Problem: fmt.Sprintf(format, args...)})
	}
	positive := func(field string, n *int, def int) {
		if *n == 0 {
			*n = def
		} else if *n < 0 {
			bad(field, "%d is negative", *n)
		}
	}
	duration := func(field string, d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		} else if *d < 0 {
			bad(field, "%v is negative", *d)
		}
	}
	c.Logger = safelog.New(c.Logger)
	if c.Engine.Path == "" {
		c.Engine.Path = DefaultPath
	}
	if c.Engine.Logger == nil {
		c.Engine.Logger = c.Logger
	}
	if c.Client != nil {
		files, err := bundle(c.Client, c.Engine.Files)
		if err != nil {
			bad("Client", "%v", err)
		}
		c.Engine.Files = files
	}
	duration("ConnectTimeout", &c.ConnectTimeout, DefaultConnectTimeout)
	duration("AttachmentTimeout", &c.AttachmentTimeout, DefaultAttachmentTimeout)
	duration("AckTimeout", &c.AckTimeout, DefaultAckTimeout)
	positive("QueueEvents", &c.QueueEvents, DefaultQueueEvents)
	positive("QueueBytes", &c.QueueBytes, DefaultQueueBytes)
	positive("MaxNamespaces", &c.MaxNamespaces, DefaultMaxNamespaces)
	if c.WhenFull > ReportWhenFull {
		bad("WhenFull", "%d is not a policy", c.WhenFull)
	}
	if (c.OnSlow != nil || c.OnFast != nil) && c.Engine.Flow.HighWater == 0 {
		bad("OnSlow", "needs Engine.Flow.HighWater")
	}
	c.normalizeRates(bad)
	if c.Limits.MaxAttachments < 0 || c.Limits.MaxAttachmentBytes < 0 || c.Limits.MaxDepth < 0 {
		bad("Limits", "%+v has a negative limit", c.Limits)
	}
	if c.Limits.MaxAttachmentBytes == 0 {
		c.Limits.MaxAttachmentBytes = max(codec.DefaultMaxAttachmentBytes, 10*c.Engine.MaxPayload)
	}
	if c.Parser == nil {
		c.Parser = codec.JSON
	}
	if _, ok := c.Parser.(codec.ParserV4); !ok && c.Engine.AllowEIO3 {
		bad("Parser", "%s has no form for the clients that Engine.AllowEIO3 accepts", c.Parser.Name())
	}
	if c.ServerID == "" {
		c.ServerID = newID()
	}
	if c.Adapter == nil {
		c.Adapter = adapter.MemoryFactory
	}
	if c.Recovery != nil {
		r := *c.Recovery
		duration("Recovery.MaxDisconnection", &r.MaxDisconnection, DefaultMaxDisconnection)
		positive("Recovery.LogPackets", &r.LogPackets, DefaultLogPackets)
		positive("Recovery.LogBytes", &r.LogBytes, DefaultLogBytes)
		positive("Recovery.Sessions", &r.Sessions, DefaultSessions)
		c.Recovery = &r
	}
	return c, errors.Join(errs...)
}
