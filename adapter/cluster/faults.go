package cluster

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/epio-go/epio/codec"
)

// driverPanic is deferred where a driver is called on a goroutine of this package: a panic of it is
// an error like any other of the broker, which is tried again.
func driverPanic(err *error) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("adapter/cluster: driver panicked: %v\n%s", v, debug.Stack())
	}
}

// withStack returns args, and the stack if err is the panic of a value that was to be sent.
func withStack(err error, args ...any) []any {
	if p, ok := errors.AsType[*codec.PanicError](err); ok {
		args = append(args, "stack", string(p.Stack))
	}
	return args
}
