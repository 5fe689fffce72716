package eio

import (
	"log/slog"
	"runtime/debug"
	"sync"
)

// notifier runs functions of the application that became due under a lock or on the
// reactor: one after the other, on a goroutine that exists only while there are any. close
// waits for it.
type notifier struct {
	log *slog.Logger // immutable

	mu      sync.Mutex
	idle    sync.Cond // signalled when running becomes false
	queue   []func()
	running bool
}

func newNotifier(log *slog.Logger) *notifier {
	n := &notifier{log: log}
	n.idle.L = &n.mu
	return n
}

// post has fn called soon. It never blocks and may be called with any lock held.
func (n *notifier) post(fn func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.queue = append(n.queue, fn)
	if !n.running {
		n.running = true
		go n.run()
	}
}

func (n *notifier) run() {
	var due []func()
	done := false
	defer func() {
		if !done { // a function has called runtime.Goexit
			n.mu.Lock()
			n.queue = append(due, n.queue...)
			n.mu.Unlock()
			go n.run()
		}
	}()
	for {
		n.mu.Lock()
		due, n.queue = n.queue, nil
		if len(due) == 0 {
			n.running = false
			n.idle.Broadcast()
			n.mu.Unlock()
			done = true
			return
		}
		n.mu.Unlock()
		for len(due) > 0 {
			fn := due[0]
			due = due[1:]
			n.call(fn)
		}
	}
}

// call runs fn. Like those of net/http, a panic of the application does not end the process.
func (n *notifier) call(fn func()) {
	defer n.caught()
	fn()
}

// caught is deferred: it logs a panic of the application.
func (n *notifier) caught() {
	if v := recover(); v != nil {
		n.log.Error("eio: hook or callback panicked", "panic", v, "stack", string(debug.Stack()))
	}
}

// wait returns when nothing is left to do.
func (n *notifier) wait() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.running {
		n.idle.Wait()
	}
}
