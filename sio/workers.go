package sio

import (
	"runtime"
	"sync"
)

// workers runs sockets that have something to do, in the order they asked, on as
// few goroutines as keep them all going.
//
// Handlers may block for as long as they like, so there is no upper limit on
// goroutines. But a goroutine of its own for every socket is dear: a burst starts
// many, and handlers and JSON need more stack than a new one has (growing it was a
// sixth of the CPU time of an echo server, by profile). So a goroutine that takes a
// socket while others wait calls for one more goroutine first, a searcher. When the
// handler blocks, the searcher runs and goes on with the queue, and calls for the
// next. When it does not, the same goroutine takes the next socket itself.
type workers struct {
	mu        sync.Mutex
	head      *Socket // what waits to be run, oldest first, linked by next
	tail      *Socket
	waiting   int             // length of that list
	searchers int             // goroutines on their way to the list
	idle      []chan struct{} // kept goroutines, most recently used last
	closed    bool
}

// keepWorkers is how many idle goroutines a server keeps.
func keepWorkers() int { return 4 * runtime.GOMAXPROCS(0) }

// run has s served, soon.
func (w *workers) run(s *Socket) {
	w.mu.Lock()
	w.pushLocked(s)
	w.searchUnlock()
}

func (w *workers) pushLocked(s *Socket) {
	if w.tail == nil {
		w.head = s
	} else {
		w.tail.next = s
	}
	w.tail = s
	w.waiting++
}

// searchUnlock unlocks mu and makes sure that somebody comes for what waits.
func (w *workers) searchUnlock() {
	if w.searchers >= min(w.waiting, runtime.GOMAXPROCS(0)) {
		w.mu.Unlock()
		return
	}
	w.searchers++
	n := len(w.idle)
	if n == 0 {
		w.mu.Unlock()
		go w.work()
		return
	}
	wake := w.idle[n-1]
	w.idle[n-1] = nil
	w.idle = w.idle[:n-1]
	w.mu.Unlock()
	wake <- struct{}{} // capacity 1, and nobody else has it
}

// work is one goroutine. It begins as a searcher.
func (w *workers) work() {
	var wake chan struct{}
	searching := true
	for {
		w.mu.Lock()
		if searching {
			w.searchers--
			searching = false
		}
		if s := w.head; s != nil {
			if w.head = s.next; w.head == nil {
				w.tail = nil
			}
			s.next = nil
			w.waiting--
			w.searchUnlock()
			if s.serve() {
				w.mu.Lock()
				w.pushLocked(s)
				w.mu.Unlock() // this goroutine goes on with the list
			}
			continue
		}
		if w.closed || len(w.idle) >= keepWorkers() {
			w.mu.Unlock()
			return
		}
		if wake == nil {
			wake = make(chan struct{}, 1)
		}
		w.idle = append(w.idle, wake)
		w.mu.Unlock()
		if _, ok := <-wake; !ok {
			return
		}
		searching = true
	}
}

// close ends the idle goroutines, and each other one when it finds nothing to do.
func (w *workers) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, wake := range w.idle {
		close(wake)
	}
	w.idle = nil
}
