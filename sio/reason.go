package sio

import (
	"net"

	"github.com/epio-go/epio/eio"
)

// Reason says why a socket disconnected. The texts are those of the reference
// server. A Reason is also the cause of the socket's context.
type Reason string

const (
	// TransportError: the connection failed or the client broke the transport's
	// protocol.
	TransportError = Reason(eio.TransportError)
	// TransportClose: the client closed the connection, or vanished.
	TransportClose = Reason(eio.TransportClose)
	// ForcedClose: the server closed the connection, also because the client
	// broke the Socket.IO protocol or joined no namespace in time.
	ForcedClose = Reason(eio.ForcedClose)
	// PingTimeout: the client did not answer a ping in time.
	PingTimeout = Reason(eio.PingTimeout)
	// ParseError: an Engine.IO packet could not be decoded.
	ParseError = Reason(eio.ParseError)
	// ClientDisconnect: the client left the namespace.
	ClientDisconnect Reason = "client namespace disconnect"
	// ServerDisconnect: the server made the socket leave.
	ServerDisconnect Reason = "server namespace disconnect"
	// ServerShutdown: the server is shutting down.
	ServerShutdown Reason = "server shutting down"
	// RateExceeded: the client sent more than Config.Rates allows, and that closes
	// connections. The reference has no such limit and no such reason.
	RateExceeded Reason = "rate limit exceeded"
	// TooSlow: the connection was slow for longer than Engine.Flow.MaxSlow. The
	// reference has no such limit and no such reason.
	TooSlow = Reason(eio.TooSlow)
	// SlowClient: what waits for the client outgrew eio.Config.SendBuffer. The
	// reference has no such limit and no such reason.
	SlowClient Reason = "send buffer full"
)

// Error makes a Reason usable as the cause of a context.
func (r Reason) Error() string { return "sio: socket disconnected: " + string(r) }

// Is makes every Reason match ErrClosed and net.ErrClosed.
func (r Reason) Is(target error) bool { return target == ErrClosed || target == net.ErrClosed }
