package clustertest

import (
	"fmt"
	"hash/crc32"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/epio-go/epio/adapter"
)

// Host is an adapter.Host that keeps what comes from other servers, and what is logged.
type Host struct {
	Name    string // of the namespace
	Clients int    // that answer when asked; 0 means one

	mu     sync.Mutex
	got    []string        // guarded by mu
	logged strings.Builder // guarded by mu
}

var _ adapter.Host = (*Host)(nil)

// Namespace implements [adapter.Host].
func (h *Host) Namespace() string { return h.Name }

// Logger implements [adapter.Host].
func (h *Host) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(h, nil)) }

// Write takes what is logged.
func (h *Host) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.logged.Write(p)
}

// Log returns what was logged.
func (h *Host) Log() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.logged.String()
}

// BroadcastLocal implements [adapter.Host]: each client answers "answer".
func (h *Host) BroadcastLocal(event string, args []any, _ adapter.Opts, ack func(string, any)) int {
	h.keep(fmt.Sprint(event, brief(args)))
	clients := max(h.Clients, 1)
	if ack != nil {
		for range clients {
			ack("", "answer")
		}
	}
	return clients
}

// ServerEvent implements [adapter.Host]: the answer is "heard".
func (h *Host) ServerEvent(event string, args []any, ack func(any)) {
	h.keep(fmt.Sprint("server ", event, brief(args)))
	if ack != nil {
		ack("heard")
	}
}

// brief leaves out what is in large arguments: under the race detector, writing each byte of 3 MiB as a number takes a
// second and more.
func brief(args []any) []any {
	args = slices.Clone(args)
	for i, a := range args {
		switch a := a.(type) {
		case []byte:
			if len(a) > 1000 {
				args[i] = Brief(a)
			}
		case string:
			if len(a) > 1000 {
				args[i] = Brief([]byte(a))
			}
		}
	}
	return args
}

// Brief is how a large argument, binary or text, is kept: by its length and checksum.
func Brief(b []byte) string { return fmt.Sprintf("%d bytes %08x", len(b), crc32.ChecksumIEEE(b)) }

func (h *Host) keep(s string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.got = append(h.got, s)
}

// Got returns the events that have come, in order: "name[arguments]", with "server "
// before server-side ones. Of an argument of more than 1,000 bytes it has what [Brief] says.
func (h *Host) Got() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.got)
}

// Has reports whether an event has come that begins with prefix.
func (h *Host) Has(prefix string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.got, func(s string) bool { return strings.HasPrefix(s, prefix) })
}
