package adapter

import "time"

// Opts selects the receivers of a broadcast, or the sockets of an operation on
// many, and says how to treat them. The zero value selects every connected socket
// of the namespace.
//
// It is passed by value so that it costs no allocation; its slices are borrowed.
type Opts struct {
	// Rooms selects the sockets that are in at least one of them. Empty selects
	// all sockets; a list of unknown rooms selects none.
	Rooms []string

	// Except removes the sockets that are in at least one of these rooms.
	Except []string

	// ExceptID, if not empty, is one more room to remove: the own room of the
	// sender. It saves the sender a slice.
	ExceptID string

	// Batch, if not nil, is handed to every [Receiver.Deliver] and flushed
	// once after the last. Only broadcasts use it.
	Batch Batch

	// Timeout is how long the answers to a broadcast with acknowledgements are
	// waited for; 0 means that only the end of the sockets ends the wait.
	Timeout time.Duration

	// Flags apply to the whole operation.
	Flags Flags
}

// Flags is a set of modifiers. The index ignores them: the packet knows its own
// delivery flags, and networked adapters carry them to other servers.
type Flags uint8

const (
	// Volatile drops the packet for receivers that cannot be written to now.
	Volatile Flags = 1 << iota
	// Local keeps the operation on this server.
	Local
	// NoCompress sends the packet uncompressed; the default is up to the
	// connection.
	NoCompress
	// Single marks a packet for one remote socket whose sender expects exactly
	// one answer (expectSingleResponse on the wire).
	Single
)

// Has reports whether all flags of f are set.
func (s Flags) Has(f Flags) bool { return s&f == f }
