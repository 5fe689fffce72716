package eio

import (
	"crypto/rand"
	"encoding/base64"
)

// newID returns 20 characters of url-safe base64, 120 random bits.
func newID() string {
	var raw [15]byte
	rand.Read(raw[:]) // never fails, see crypto/rand
	var text [20]byte
	base64.RawURLEncoding.Encode(text[:], raw[:])
	return string(text[:])
}
