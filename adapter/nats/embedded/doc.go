// Package embedded runs a NATS server within the process, so that several processes make
// a cluster with no other software: each has a server of its own, and the servers form a
// full mesh.
//
//	node, err := embedded.Start(embedded.Config{
//		Listen: "10.0.0.1:6222",
//		Token:  os.Getenv("MESH_TOKEN"),
//		Routes: []string{"10.0.0.2:6222", "10.0.0.3:6222"},
//	})
//	if err != nil {
//		return err
//	}
//	defer node.Close()
//	factory, err := nats.New(nats.Options{Connect: node.Options()})
//
// A process that joins needs the address of one that is there, and learns of the others
// from it; they learn of each other the same way. When a process leaves or dies the
// others go on. Broadcasts take one hop: from the process that sends to each that has
// receivers.
//
// It is a module of its own, since a NATS server is a large dependency.
package embedded
