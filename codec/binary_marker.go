package codec

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
)

// A marker stands for one binary value while text is handed to the JSON library,
// in both directions. As a []byte it is 16 bytes, a nonce and an index; the
// library writes and reads it as a string of 24 characters, of which the first
// 16 are the nonce alone:
//
//	"uJ0sQ1dV8fY2kLmA" + "AAAABQ=="
//
// The nonce is random, made once per process and never sent, so neither a peer
// nor the application can write a marker by accident or on purpose.
const (
	nonceLen      = 12
	markerLen     = nonceLen + 4
	markerTextLen = 24
	quotedLen     = markerTextLen + 2
)

var (
	// markerNonce begins every marker; markerNonceText every marker in base64.
	markerNonce     [nonceLen]byte
	markerNonceText [16]byte
	// markerStart is what a marker begins with in JSON text.
	markerStart []byte
)

func init() {
	rand.Read(markerNonce[:])
	base64.StdEncoding.Encode(markerNonceText[:], markerNonce[:])
	markerStart = append([]byte{'"'}, markerNonceText[:]...)
}

// newMarker returns marker i as a []byte.
func newMarker(i int) []byte {
	return binary.BigEndian.AppendUint32(append(make([]byte, 0, markerLen), markerNonce[:]...), uint32(i))
}

// appendMarker appends marker i as JSON text.
func appendMarker(dst []byte, i int) []byte {
	var idx [4]byte
	binary.BigEndian.PutUint32(idx[:], uint32(i))
	dst = base64.StdEncoding.AppendEncode(append(dst, markerStart...), idx[:])
	return append(dst, '"')
}

// markerIndex returns the index in p if p is one of the markers below n.
func markerIndex(p []byte, n int) (int, bool) {
	if len(p) != markerLen || !bytes.Equal(p[:nonceLen], markerNonce[:]) {
		return 0, false
	}
	i := int(binary.BigEndian.Uint32(p[nonceLen:]))
	return i, i < n
}

// markerTextIndex is markerIndex for the base64 form, without quotes.
func markerTextIndex[T ~string | ~[]byte](s T, n int) (int, bool) {
	if len(s) != markerTextLen || string(s[:16]) != string(markerNonceText[:]) {
		return 0, false
	}
	var idx [6]byte
	if k, err := base64.StdEncoding.Decode(idx[:], []byte(s[16:])); err != nil || k != 4 {
		return 0, false
	}
	i := int(binary.BigEndian.Uint32(idx[:]))
	return i, i < n
}

// findMarker returns the position of the next marker below n in JSON text and
// its index, or a negative position.
func findMarker(text []byte, n int) (pos, index int) {
	for from := 0; ; {
		k := bytes.Index(text[from:], markerStart)
		if k < 0 || len(text)-from-k < quotedLen {
			return -1, 0
		}
		pos = from + k
		if i, ok := markerTextIndex(text[pos+1:pos+1+markerTextLen], n); ok && text[pos+quotedLen-1] == '"' {
			return pos, i
		}
		from = pos + 1
	}
}
