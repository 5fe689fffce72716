// Package adaptertest checks that an [adapter.Adapter] fulfils its contract.
//
// Every adapter runs the same suite from its own tests:
//
//	func TestContract(t *testing.T) {
//		adaptertest.Run(t, adaptertest.Config{Servers: 3, New: newCluster})
//	}
//
// The suite plays the namespace: its servers implement [adapter.Host], its
// sockets [adapter.Receiver]. It waits for what must arrive, and proves that
// something does not arrive by sending a marker after it, since broadcasts of one
// server arrive in order. No step takes a fixed time, so the suite is as fast as the
// adapter, in memory or through the server of a message broker.
package adaptertest
