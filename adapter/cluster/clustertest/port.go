package clustertest

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"syscall"
	"testing"
)

// Port returns a port of the loopback network, for a listener that is to come back where it was or a program that cannot
// choose one itself. It is below those that systems give to whoever names none, so that nothing has it while it is not listened on, and
// on Linux no other Go test of this repository gets it before t ends.
func Port(t testing.TB) int {
	t.Helper()
	var err error
	for range 1000 {
		port := 10_000 + rand.IntN(20_000)
		var claim io.Closer
		if claim, err = claimPort(port); err == nil {
			t.Cleanup(func() { _ = claim.Close() })
			return port
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	t.Fatal("no port: ", err)
	return 0
}

// claimPort makes a port ours, if nobody listens there, until the result is closed: by a name that ends with its process.
func claimPort(port int) (io.Closer, error) {
	var claim io.Closer = io.NopCloser(nil)
	if runtime.GOOS == "linux" { // which has names that are not files
		l, err := net.Listen("unix", fmt.Sprint("@epio-test-port-", port))
		if err != nil {
			return nil, err
		}
		claim = l
	}
	probe, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
	if err != nil {
		_ = claim.Close()
		return nil, err
	}
	return claim, probe.Close()
}
