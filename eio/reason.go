package eio

// Reason says why a session ended. The values of this package are the reference
// server's close reasons; the layer above may pass others to [Session.Close].
type Reason string

const (
	// TransportError: the transport failed or the peer broke the protocol
	// (overlapping requests, aborted request, wrong heartbeat direction, invalid WebSocket frame).
	TransportError Reason = "transport error"
	// TransportClose: the peer closed the transport.
	TransportClose Reason = "transport close"
	// ForcedClose: the server closed the session.
	ForcedClose Reason = "forced close"
	// PingTimeout: no PONG arrived in time.
	PingTimeout Reason = "ping timeout"
	// TooSlow: the connection has been slow for longer than Flow.MaxSlow. The reference
	// has no such limit and no such reason.
	TooSlow Reason = "client too slow"
	// ParseError: a packet or payload could not be decoded.
	ParseError Reason = "parse error"
)

// Transport is the way packets travel.
type Transport uint8

const (
	// Polling is HTTP long-polling.
	Polling Transport = iota
	// WebSocket is RFC 6455.
	WebSocket
	// WebTransport is a bidirectional stream of a WebTransport session over HTTP/3.
	WebTransport
)

// String returns the name used in the "transport" query parameter.
func (t Transport) String() string {
	switch t {
	case Polling:
		return "polling"
	case WebSocket:
		return "websocket"
	case WebTransport:
		return "webtransport"
	}
	return "unknown"
}
