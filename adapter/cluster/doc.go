// Package cluster is what networked adapters have in common: everything but the broker.
//
// The reference's adapters for sharded redis, redis streams, Postgres and Node's own
// cluster module share one vocabulary, a family of messages numbered from 1 to 13, and
// one set of duties. [Adapter] fulfils the contract of package adapter in these terms,
// on top of a [Driver], which encodes messages for its broker and carries them.
//
//   - [Message] is one message; its functions read and write both formats the reference
//     uses, JSON and msgpack. [Writer] and the Set functions of Message serve drivers
//     whose envelope is another one.
//   - Sending never waits: messages go through a bounded queue, which one goroutine works
//     off, and sockets of this server get theirs at once.
//   - Requests end with all answers, or with an error and those that came.
//   - Who the others are is either counted by the broker ([Counter]) or known from their
//     heartbeats.
//   - A driver with a channel for each room ([RoomSubscriber]) is told which ones matter
//     here.
//
// Programs that only send to a cluster encode their messages with [Message] as well, under
// the uid [Emitter], see package emitter.
//
// Source: cluster-adapter.ts of
// https://github.com/socketio/socket.io/tree/main/packages/socket.io-adapter.
package cluster
