package main

import (
	"net"
	"sync"

	"github.com/epio-go/epio/pool"
)

// leaked is what a faulty server has forgotten.
var leaked struct {
	sync.Mutex
	pages     [][]byte
	listeners []net.Listener
}

// leak forgets some goroutines, a descriptor, a frame and memory.
func leak() {
	for range 10 {
		go func() { select {} }()
	}
	pool.Copy([]byte("never released")).Seal(0)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	leaked.Lock()
	defer leaked.Unlock()
	if err == nil {
		leaked.listeners = append(leaked.listeners, ln)
	}
	leaked.pages = append(leaked.pages, make([]byte, 1<<20))
}
