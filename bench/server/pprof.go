package main

import (
	"net/http"
	_ "net/http/pprof" // registers on the default mux
)

func servePprof(addr string) error { return http.ListenAndServe(addr, nil) }
