package ws

import "encoding/binary"

// The packets of socket.io-msgpack-parser 3.x, written as the official client and server
// write them. Pieces stand around the values that differ: PREFIX room payload SUFFIX. See
// [AppendString] and [AppendBinary] for the values.
const (
	PackConnect   = "\x83\xa4type\x00\xa4data\xd4\x00\x00\xa3nsp\xa1/" // {type: 0, data: undefined, nsp: "/"}
	PackConnected = "\x83\xa4type\x00\xa4data\x81\xa3sid\xb4bbbbbbbbbbbbbbbbbbbb\xa3nsp\xa1/"

	// {type: 2, data: ["bcast", room, payload], options: {compress: true}, nsp: "/"}
	PackBroadcast    = "\x84\xa4type\x02\xa4data\x93\xa5bcast"
	PackBroadcastEnd = "\xa7options\x81\xa8compress\xc3\xa3nsp\xa1/"

	// {type: 2, data: [event, argument], options: {compress: true}, id: N, nsp: "/"}
	PackCall    = "\x85\xa4type\x02\xa4data\x92"
	PackCallID  = "\xa7options\x81\xa8compress\xc3\xa2id" // then the id in one byte
	PackCallEnd = "\xa3nsp\xa1/"
	PackJoin    = "\xa4join"
	PackLeave   = "\xa5leave"
	PackEcho    = "\xa4echo"

	// {type: 2, data: ["msg", payload], nsp: "/"}
	PackMessage    = "\x83\xa4type\x02\xa4data\x92\xa3msg"
	PackMessageEnd = "\xa3nsp\xa1/"

	// {type: 3, id: N, data: [argument], nsp: "/"}
	PackAck      = "\x84\xa4type\x03\xa2id" // then the id in one byte
	PackAckEmpty = "\xa4data\x90"
	PackAckOne   = "\xa4data\x91"
	PackAckEnd   = "\xa3nsp\xa1/"
)

// AppendString appends a string.
func AppendString(dst []byte, s []byte) []byte {
	switch n := len(s); {
	case n < 32:
		dst = append(dst, 0xa0|byte(n))
	case n < 1<<8:
		dst = append(dst, 0xd9, byte(n))
	case n < 1<<16:
		dst = append(dst, 0xda, byte(n>>8), byte(n))
	default:
		dst = binary.BigEndian.AppendUint32(append(dst, 0xdb), uint32(n))
	}
	return append(dst, s...)
}

// AppendBinary appends what JavaScript calls a Buffer.
func AppendBinary(dst []byte, b []byte) []byte {
	switch n := len(b); {
	case n < 1<<8:
		dst = append(dst, 0xc4, byte(n))
	case n < 1<<16:
		dst = append(dst, 0xc5, byte(n>>8), byte(n))
	default:
		dst = binary.BigEndian.AppendUint32(append(dst, 0xc6), uint32(n))
	}
	return append(dst, b...)
}
