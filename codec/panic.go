package codec

import (
	"fmt"
	"runtime/debug"
)

// PanicError is the error of an encoder that was given a value whose own method panicked:
// MarshalJSON, MarshalText, MarshalMsg. Values are encoded in many places, also on goroutines
// that are not the application's, so that the panic of one must not go further than its packet.
type PanicError struct {
	// Value is what the method panicked with.
	Value any
	// Stack is the goroutine's stack at that moment.
	Stack []byte
}

// Error implements error.
func (e *PanicError) Error() string { return fmt.Sprintf("codec: encoding panicked: %v", e.Value) }

// done ends the use of e, deferred. A panic becomes *err; then e is in no state to be used again.
func (e *jsonEncoder) done(err *error) {
	if v := recover(); v != nil {
		*err = &PanicError{Value: v, Stack: debug.Stack()}
		return
	}
	e.free()
}

// done is that of a jsonEncoder.
func (e *mpEncoder) done(err *error) {
	if v := recover(); v != nil {
		*err = &PanicError{Value: v, Stack: debug.Stack()}
		return
	}
	e.free()
}
