package nats

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// maxToken bounds what is a part of subjects as it is: the prefix, and uids.
const maxToken = 64

// isToken reports whether s can stand in a subject as it is. NATS allows more; what
// others send must not be able to make a subject of two parts, or a pattern.
func isToken(s string) bool {
	return s != "" && len(s) <= maxToken && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}

// maxName is the length in bytes of the longest name that is in its token in full. NATS
// servers take lines of 4 KiB by default.
const maxName = 256

// token makes a part of a subject of the name of a namespace or a room, which may hold
// anything: base64 in its URL form, without padding. A longer name is its hash, and the
// empty one nothing, behind an equals sign. Receivers go by the names in the message, so
// that two names with one token would not matter.
func token(name string) string {
	switch {
	case name == "":
		return "="
	case len(name) > maxName:
		sum := sha256.Sum256([]byte(name))
		return "=" + base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return base64.RawURLEncoding.EncodeToString([]byte(name))
}

// subjects are those of one namespace.
//
//	sio.<prefix>.<namespace>.all          to all servers
//	sio.<prefix>.<namespace>.room.<room>  to those with members of the room
//	sio.<prefix>.<namespace>.node.<uid>   to one
//	sio.<prefix>.<namespace>.log          to all, kept by JetStream
type subjects struct {
	base string // with the dot at its end
	all  string
}

func newSubjects(prefix, namespace string) subjects {
	base := "sio." + prefix + "." + token(namespace) + "."
	return subjects{base, base + "all"}
}

func (s subjects) room(name string) string { return s.base + "room." + token(name) }
func (s subjects) logged() string          { return s.base + "log" }
func (s subjects) node(uid string) string  { return s.base + "node." + uid }

// namespaceOf returns the base of the subject of a message.
func namespaceOf(subject string) string {
	n := 0
	for i := range len(subject) {
		if subject[i] != '.' {
			continue
		}
		if n++; n == 3 {
			return subject[:i+1]
		}
	}
	return ""
}
