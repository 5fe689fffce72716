package codec

import (
	"fmt"

	"github.com/epio-go/epio/pool"
)

// ParserV4 is a Parser that also speaks to clients of Socket.IO protocol 4, the
// JavaScript clients 1 and 2. Where they differ, the packets have other payloads; all
// others are the same.
//
// Source: https://github.com/socketio/socket.io-protocol/tree/v4
type ParserV4 interface {
	Parser
	// EncodeConnectV4 returns the server's answer to a CONNECT, which says nothing but
	// that.
	EncodeConnectV4(nsp string) *pool.Frame
	// EncodeErrorV4 refuses a CONNECT with any value. Errors as EncodeEvent.
	EncodeErrorV4(nsp string, v any) (*pool.Frame, error)
}

var connectRootV4 = staticText("40")

// EncodeConnectV4 implements ParserV4.
//
//	40/chat,
func (jsonParser) EncodeConnectV4(nsp string) *pool.Frame {
	if nsp == "/" || nsp == "" {
		return connectRootV4
	}
	return new(jsonEncoder).finish(Connect, nsp, 0, false)
}

// EncodeErrorV4 implements ParserV4. A []byte in v becomes base64: this packet has
// no binary form.
//
//	44/chat,"not authorized"
func (jsonParser) EncodeErrorV4(nsp string, v any) (_ *pool.Frame, err error) {
	e := encoders.Get().(*jsonEncoder)
	defer e.done(&err)
	if s, ok := v.(string); ok {
		e.text = appendString(e.text, s)
	} else if err := e.library(v); err != nil {
		return nil, fmt.Errorf("codec: error payload: %w", err)
	}
	return e.finish(ConnectError, nsp, 0, false), nil
}
