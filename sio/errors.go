package sio

import (
	"errors"
	"fmt"
	"net"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/eio"
)

var (
	// ErrClosed is returned by operations on a socket that has disconnected. It
	// matches net.ErrClosed.
	ErrClosed = fmt.Errorf("sio: socket disconnected: %w", net.ErrClosed)

	// ErrBufferFull is returned by Emit when the packet does not fit into what the
	// connection may have waiting, see Config.WhenFull. Nothing was queued.
	ErrBufferFull = eio.ErrBufferFull

	// ErrDropped is returned by Emit for a volatile packet that could not leave at
	// once.
	ErrDropped = errors.New("sio: volatile packet dropped")

	// ErrTooManyRooms is returned by Join, see Config.MaxRooms.
	ErrTooManyRooms = adapter.ErrTooManyRooms

	// ErrAckTimeout says that a client did not acknowledge in time.
	ErrAckTimeout = errors.New("sio: acknowledgement timed out")

	// ErrNoReceivers is returned by Call for a selection that is empty.
	ErrNoReceivers = errors.New("sio: nobody was selected")

	// ErrReservedEvent is returned by Emit for the event names that the client
	// library raises itself: connect, connect_error, disconnect, disconnecting,
	// newListener, removeListener.
	ErrReservedEvent = codec.ErrReservedEvent

	// ErrServerClosed is returned by Serve and ListenAndServe after Shutdown or
	// Close.
	ErrServerClosed = eio.ErrServerClosed
)

// Error is an error that is meant for the client. Returned by a connect
// middleware it becomes the connect_error event; returned by a handler whose
// client waits for an acknowledgement it becomes the answer
//
//	{"error":{"message":"…","data":…}}
//
// Any other error is told to the client without its text.
type Error struct {
	// Message is the text.
	Message string
	// Data is more detail, encoded like an argument of Emit. nil is omitted.
	Data any
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// What clients are told about errors that are none of their business.
const (
	refusedText = "connection refused"
	failedText  = "internal error"
)

// ackError is the answer to an event whose handler failed.
type ackError struct {
	Error struct {
		Message string `json:"message"`
		Data    any    `json:"data,omitempty"`
	} `json:"error"`
}

func newAckError(err error) *ackError {
	a := new(ackError)
	a.Error.Message = failedText
	if e, ok := errors.AsType[*Error](err); ok {
		a.Error.Message, a.Error.Data = e.Message, e.Data
	}
	return a
}

// PanicError is what a panicking handler's event failed with.
type PanicError struct {
	// Value is what the handler panicked with.
	Value any
	// Stack is the goroutine's stack at that moment.
	Stack []byte
}

// Error implements error.
func (e *PanicError) Error() string { return fmt.Sprintf("sio: handler panicked: %v", e.Value) }

// ConfigError reports one invalid field of a Config. New joins all of them with
// those of eio.Config.
type ConfigError struct {
	Field   string
	Problem string
}

// Error implements error.
func (e *ConfigError) Error() string { return "sio: Config." + e.Field + ": " + e.Problem }
