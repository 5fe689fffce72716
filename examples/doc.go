// Package examples is a folder of small complete programs, and of functions to copy. Those with a client.js say in their
// comment how to run both.
//
// One program for each step of the official tutorial:
//
//   - tutorial/connect: a page and its client library, connections that come and go
//   - tutorial/events: arguments of all kinds, typed and not
//   - tutorial/acks: answers, in both directions
//   - tutorial/catchall: every event, in and out
//   - tutorial/broadcast: everybody, everybody else, one
//   - tutorial/rooms: some
//   - tutorial/disconnects: clients that go away and come back
//
// One for each of the larger topics:
//
//   - auth: tokens, a namespace for administrators, a limit on events
//   - vote: asking many clients at once
//   - delivery: nothing lost, nothing doubled
//   - recovery: clients that were away get what they missed
//   - drain: stopping without losing work
//   - tls: certificates without a proxy
//   - chat: rooms, presence, typing indicator, history, reconnection, with a page
//   - cluster: the chat on three servers behind a balancer, connected by NATS within them
//   - webtransport: all three transports, with a page and a certificate of its own
//
// And for special purposes:
//
//   - emit: sends to a cluster from the command line
//   - cluster-node: a server of a cluster that its clients can drive, for tests
//   - conformance: the applications that the official protocol suites expect
//   - mounts: the server in ServeMux, gin, echo, chi and fiber, behind their middleware
package examples
