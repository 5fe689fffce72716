package main

import (
	"fmt"
	"net/http"
	_ "net/http/pprof" // registers on the default mux
	"runtime"
)

// servePprof serves profiles, and the number of heap allocations since the start as
// {"mallocs":N} at /mallocs.
func servePprof(addr string) error {
	http.HandleFunc("GET /mallocs", func(w http.ResponseWriter, _ *http.Request) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Fprintf(w, "{\"mallocs\":%d}\n", m.Mallocs)
	})
	return http.ListenAndServe(addr, nil)
}
