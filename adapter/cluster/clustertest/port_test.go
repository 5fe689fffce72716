package clustertest

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"syscall"
	"testing"
)

// A port is its test's alone, whether or not it is listened on, until the test ends.
func TestPort(t *testing.T) {
	var port int
	t.Run("taken", func(t *testing.T) {
		port = Port(t)
		if _, err := claimPort(port); !errors.Is(err, syscall.EADDRINUSE) && runtime.GOOS == "linux" {
			t.Errorf("taken again: %v", err)
		}
		for range 2 { // it can be listened on again
			l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
			if err != nil {
				t.Fatal(err)
			}
			l.Close()
		}
	})
	again, err := claimPort(port)
	if err != nil {
		t.Fatalf("after the test: %v", err)
	}
	again.Close()

	l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := claimPort(port); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("somebody listens: %v", err)
	}
	l.Close()
	if again, err = claimPort(port); err != nil {
		t.Fatalf("a claim that failed was kept: %v", err)
	}
	again.Close()
}
