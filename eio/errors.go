package eio

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/epio-go/epio/engine"
)

// Errors returned by Session.Send and Session.Queue.
var (
	// ErrClosed reports a session that has ended. It matches net.ErrClosed.
	ErrClosed = engine.ErrClosed
	// ErrBufferFull reports that Config.SendBuffer bytes are waiting already. Nothing
	// was queued; the session stays open.
	ErrBufferFull = engine.ErrBufferFull
)

// ErrServerClosed is returned by Serve and ListenAndServe after Close or Shutdown.
var ErrServerClosed = http.ErrServerClosed

// Errors passed to Handler.Close as the cause of a closed session.
var (
	ErrPollOverlap       = errors.New("eio: overlap from client")                               // a second GET while one is parked
	ErrPostOverlap       = errors.New("eio: data request overlap from client")                  // a second POST while one is in progress
	ErrPollAborted       = errors.New("eio: poll connection closed prematurely")                // the client gave up a parked GET
	ErrPostAborted       = errors.New("eio: data request connection closed prematurely")        // a POST body that never became complete
	ErrInvalidContent    = errors.New("eio: invalid content")                                   // a POST of application/octet-stream
	ErrHeartbeat         = errors.New("eio: invalid heartbeat direction")                       // a PING from an Engine.IO v4 client, or a PONG from one of v3
	ErrMessageTooBig     = errors.New("eio: max payload size exceeded")                         // more than Config.MaxPayload bytes in one WebSocket message or WebTransport packet; it comes as a *SizeError
	ErrWebSocketProtocol = errors.New("eio: invalid WebSocket frame")                           // anything RFC 6455 forbids; wrapped with the broken rule
	ErrWebSocketUTF8     = errors.New("eio: WebSocket text message is not valid UTF-8")         //
	ErrWebSocketDeflate  = errors.New("eio: invalid compressed WebSocket message")              // wrapped with what is wrong
	ErrHandshakeTimeout  = errors.New("eio: request head not complete within HandshakeTimeout") // direct door only; the connection never became a session
)

// SizeError reports a WebSocket message, a WebTransport packet or a POST body larger than Config.MaxPayload. It
// matches ErrMessageTooBig.
type SizeError struct {
	// Size is how many bytes it has at least: those received and those that the frame's
	// header or Content-Length announces. Further fragments or chunks may have followed.
	Size int64
	// Limit is Config.MaxPayload.
	Limit int
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("%v: %d bytes, limit is %d", ErrMessageTooBig, e.Size, e.Limit)
}

// Is makes a SizeError match ErrMessageTooBig.
func (e *SizeError) Is(target error) bool { return target == ErrMessageTooBig }

// ErrorCode is the number in an Engine.IO error response.
//
// Source: https://github.com/socketio/engine.io, Server.errors. Codes 6 to 9
// are ours.
type ErrorCode int

const (
	CodeUnknownTransport    ErrorCode = 0
	CodeUnknownSession      ErrorCode = 1
	CodeBadHandshakeMethod  ErrorCode = 2
	CodeBadRequest          ErrorCode = 3
	CodeForbidden           ErrorCode = 4
	CodeUnsupportedProtocol ErrorCode = 5
	CodeTooManySessions     ErrorCode = 6 // Config.MaxConns reached; HTTP 503
	CodeShuttingDown        ErrorCode = 7 // after Close or Shutdown; HTTP 503
	CodeTooManyRequests     ErrorCode = 8 // the address is over a limit of Config.Admission; HTTP 429
	CodeBusy                ErrorCode = 9 // the server is, see Config.Admission; HTTP 503
)

var codeMessages = [...]string{
	CodeUnknownTransport:    "Transport unknown",
	CodeUnknownSession:      "Session ID unknown",
	CodeBadHandshakeMethod:  "Bad handshake method",
	CodeBadRequest:          "Bad request",
	CodeForbidden:           "Forbidden",
	CodeUnsupportedProtocol: "Unsupported protocol version",
	CodeTooManySessions:     "Too many sessions",
	CodeShuttingDown:        "Server is shutting down",
	CodeTooManyRequests:     "Too many requests",
	CodeBusy:                "Server is busy",
}

// String returns the message of the error response.
func (c ErrorCode) String() string {
	if c < 0 || int(c) >= len(codeMessages) {
		return fmt.Sprintf("error %d", int(c))
	}
	return codeMessages[c]
}

// status is the HTTP status of a polling response with this code.
func (c ErrorCode) status() int {
	switch c {
	case CodeForbidden:
		return http.StatusForbidden
	case CodeTooManyRequests:
		return http.StatusTooManyRequests
	case CodeTooManySessions, CodeShuttingDown, CodeBusy:
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

// RefuseError refuses a handshake with a text that is sent to the client. Config.AllowRequest
// returns it, by itself or wrapped.
type RefuseError struct {
	// Message goes to the client as the error message. Empty means "Forbidden".
	Message string
}

func (e *RefuseError) Error() string { return "eio: handshake refused: " + e.Message }

// ConnectionError describes a request that was refused. It goes to
// Config.OnConnectionError and is never sent to the client, except for Code and
// Message.
type ConnectionError struct {
	// Code and Message are what the client was told.
	Code    ErrorCode
	Message string
	// Context holds what is known about the cause.
	Context ErrorContext
	// Request is the refused request. Its body must not be read.
	Request *http.Request
	// Err is the error returned by AllowRequest or GenerateID, or the cause found
	// by the server; may be nil.
	Err error
}

// ErrorContext is the detail of a ConnectionError. Fields that do not concern the
// error are empty.
type ErrorContext struct {
	// Name is one of the reference's context names: INVALID_ORIGIN,
	// TRANSPORT_MISMATCH, TRANSPORT_HANDSHAKE_ERROR, ID_GENERATION_ERROR, PROTOCOL_MISMATCH; ours
	// for a POST body over the limit, PAYLOAD_TOO_LARGE, and for Config.Admission
	// ADDRESS_CONNECTIONS, ADDRESS_RATE, HANDSHAKE_RATE, OVERLOADED; or empty.
	Name              string
	Transport         string
	PreviousTransport string
	SID               string
	Method            string
	Origin            string
	Protocol          string
	PreviousProtocol  string
	Address           string // as Config.Admission counts it
	Message           string
}

func (e *ConnectionError) Error() string {
	s := fmt.Sprintf("eio: request refused: %s (code %d)", e.Message, int(e.Code))
	if e.Context.Name != "" {
		s += " " + e.Context.Name
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *ConnectionError) Unwrap() error { return e.Err }

// ConfigError reports one invalid field of a Config. NewServer joins all of them.
type ConfigError struct {
	Field   string // name of the field, dotted for nested ones: "CORS.Origins"
	Problem string
}

func (e *ConfigError) Error() string { return "eio: Config." + e.Field + ": " + e.Problem }
