package sio

import (
	"runtime"
	"sync"
)

// workers runs sockets that have something to do, each on a goroutine of its own.
// A few goroutines are kept for the next socket: handlers and JSON need more stack
// than a new goroutine has, and growing it costs more than the event (a sixth of
// the CPU time of an echo server, by profile).
//
// Handlers may block for as long as they like, so there is no upper limit on
// goroutines, only on idle ones.
type workers struct {
	mu     sync.Mutex
	idle   []chan *Socket // most recently used last
	closed bool
}

// keepWorkers is how many idle goroutines a server keeps.
func keepWorkers() int { return 4 * runtime.GOMAXPROCS(0) }

// run has s run, soon.
func (w *workers) run(s *Socket) {
	w.mu.Lock()
	if n := len(w.idle); n > 0 {
		next := w.idle[n-1]
		w.idle[n-1] = nil
		w.idle = w.idle[:n-1]
		w.mu.Unlock()
		next <- s // capacity 1, and nobody else has it
		return
	}
	w.mu.Unlock()
	go w.work(s)
}

func (w *workers) work(s *Socket) {
	var next chan *Socket
	for {
		s.serve()
		w.mu.Lock()
		if w.closed || len(w.idle) >= keepWorkers() {
			w.mu.Unlock()
			return
		}
		if next == nil {
			next = make(chan *Socket, 1)
		}
		w.idle = append(w.idle, next)
		w.mu.Unlock()
		var ok bool
		if s, ok = <-next; !ok {
			return
		}
	}
}

// close ends the idle goroutines, and each other one when its socket is done.
func (w *workers) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, next := range w.idle {
		close(next)
	}
	w.idle = nil
}
