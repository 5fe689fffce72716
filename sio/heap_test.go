package sio

import (
	"os"
	"runtime"
	"runtime/pprof"
	"testing"
)

func init() {
	if os.Getenv("EPIO_HEAP_PROFILE") != "" {
		runtime.MemProfileRate = 512
	}
}

// writeHeapProfile saves what the heap holds now.
func writeHeapProfile(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := pprof.Lookup("heap").WriteTo(f, 0); err != nil {
		t.Fatal(err)
	}
}
