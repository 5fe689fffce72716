// Package codec turns Engine.IO and Socket.IO packets into bytes and back.
//
// It is made of pure functions on memory: no I/O, no clocks, no goroutines. Two
// layers live here, in files named after them:
//
//   - eio_*.go, wsframe.go and wtframe.go: Engine.IO v4 packets, polling payloads, the
//     server side of WebSocket framing, and the framing on WebTransport; eio3_*.go: what
//     differs in Engine.IO v3.
//   - sio_*.go: Socket.IO packets. [Parser] is one wire format of them; [JSON] is
//     the default one, in json_*.go, with attachments in binary_*.go; [Msgpack] is
//     the other, in msgpack_*.go.
//
// # One encoding for every receiver
//
// An encoded packet is one [pool.Frame] that holds one or several complete
// WebSocket frames (FIN, unmasked, minimal length), back to back. A Socket.IO
// packet with attachments is one text frame followed by binary frames:
//
//	0x81 0x32 451-["e",{"_placeholder":true,"num":0}]  0x82 0x03 <3 bytes>
//
// A WebSocket connection writes it as it is. The polling transport walks the
// same frame with [NextPart] or [Parts] and emits payload packets with
// [AppendPayload]. So a broadcast is encoded once for both. Where binary messages, or on
// WebTransport all of them, travel in another [Form], the frame is rewritten with
// [NewFrameIn], and for those who take compressed messages with [NewDeflatedFrame].
//
// # Memory
//
// Decoders borrow what they are given and copy once, into pooled memory owned by
// the [In] they return. In.Decode copies again into the caller's value: decoded
// strings and byte slices never refer to pooled memory. This package is the only
// one that may look at bytes through an unsafe string view, and it does so only
// for the duration of one call of the JSON library.
//
// Sources: https://socket.io/docs/v4/engine-io-protocol/ and
// https://socket.io/docs/v4/socket-io-protocol/. Where the reference
// implementation differs from the text, we follow the implementation and say so.
package codec
