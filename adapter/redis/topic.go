package redis

import "strings"

// topicKind is the kind of a subscription.
type topicKind uint8

const (
	plain topicKind = iota
	pattern
	shard
)

// topic is something to subscribe to.
type topic struct {
	kind topicKind
	name string
}

// escapeGlob makes a name match only itself in a pattern. A namespace or prefix may
// hold any character.
func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(s)
}
