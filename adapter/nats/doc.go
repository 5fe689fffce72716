// Package nats connects servers by NATS: an external server, a cluster of them, or
// servers that live in the processes themselves, see the package embedded.
//
//	factory, err := nats.New(nats.Options{URL: "nats://10.0.0.1:4222,nats://10.0.0.2:4222"})
//	if err != nil {
//		return err
//	}
//	srv, err := sio.New(sio.Config{Adapter: factory})
//
// The reference has no adapter for NATS, so the format is our own: the messages of
// package cluster in msgpack, behind a byte that says the version. The README has it
// in full.
package nats
