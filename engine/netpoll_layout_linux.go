package engine

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/cloudwego/netpoll"
	"golang.org/x/sys/unix"
)

// Leaving a poller without losing input needs one thing netpoll does not offer:
// knowing that the poller has finished reading into the connection's buffer.
// Detach takes the descriptor out of the epoll set, but an event that
// epoll_wait has returned already is still handled afterwards, and what that
// read is dropped with the buffer.
//
// netpoll guards every event with a state word in the connection's operator:
// 1 = in use, 2 = an event is being handled, 0 = unused (events are ignored).
// seize takes the word from 1 to 2, as an event would, and then sets it to 0:
// nothing is being read then, and nothing will be. netpoll's own clean-up, which
// follows, finds the operator unused and is content.
//
// The word is private. Its place is looked up by name and type once; a version
// of netpoll that differs is not used, instead of being corrupted.

var layout struct {
	once     sync.Once
	err      error
	operator uintptr // offset of the operator pointer in netpoll's connection
	state    uintptr // offset of the state word in the operator
}

// detacher is implemented by netpoll's connection, though not part of its
// interface.
type detacher interface{ Detach() error }

const (
	opUnused int32 = iota
	opInUse
	opBusy
)

// checkLayout finds the state word, on a socket pair of its own.
func checkLayout() error {
	layout.once.Do(func() { layout.err = findLayout() })
	return layout.err
}

func findLayout() error {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("socketpair: %w", err)
	}
	defer unix.Close(fds[1])
	np, err := netpoll.NewFDConnection(fds[0])
	if err != nil {
		return err
	}
	defer np.Close()
	t := reflect.TypeOf(np)
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return errors.New("netpoll: connection is no longer a struct")
	}
	if _, ok := np.(detacher); !ok {
		return errors.New("netpoll: connection cannot be detached")
	}
	op, ok := t.Elem().FieldByName("operator")
	if !ok || op.Type != reflect.TypeFor[*netpoll.FDOperator]() {
		return errors.New("netpoll: connection has no operator")
	}
	state, ok := reflect.TypeFor[netpoll.FDOperator]().FieldByName("state")
	if !ok || state.Type.Kind() != reflect.Int32 {
		return errors.New("netpoll: operator has no state word")
	}
	layout.operator, layout.state = op.Offset, state.Offset
	if s := atomic.LoadInt32(stateWord(np)); s != opInUse {
		return fmt.Errorf("netpoll: state word of a new connection is %d", s)
	}
	return nil
}

// operator returns what the poller knows of np. Its exported fields belong to the
// poller, see hold.
func operator(np netpoll.Connection) *netpoll.FDOperator {
	conn := reflect.ValueOf(np).UnsafePointer()
	return *(**netpoll.FDOperator)(unsafe.Add(conn, layout.operator))
}

func stateWord(np netpoll.Connection) *int32 {
	return (*int32)(unsafe.Add(unsafe.Pointer(operator(np)), layout.state))
}

// hold waits until no event of np is being handled, and keeps the poller from handling others until
// the word it returns is set again: soon, since the poller finds them all the time. It returns nil when
// np is not in use any more.
func hold(np netpoll.Connection) *int32 {
	w := stateWord(np)
	for !atomic.CompareAndSwapInt32(w, opInUse, opBusy) {
		if atomic.LoadInt32(w) == opUnused {
			return nil
		}
		runtime.Gosched() // an event is being handled: one read
	}
	return w
}

// seize stops the poller from reading into np's buffer. It may be called from a
// close callback only, after np has left the epoll set.
func seize(np netpoll.Connection) {
	if w := hold(np); w != nil {
		atomic.StoreInt32(w, opUnused)
	}
}
