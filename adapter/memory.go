package adapter

import "context"

// Memory is the adapter of a server that stands alone. It adds to its index the shape
// of [Adapter], and connection state recovery if that is switched on; no method waits.
type Memory struct {
	x   *Index
	rec *recovery // nil without recovery; immutable after EnableRecovery
}

var _ Adapter = (*Memory)(nil)

// NewMemory returns an adapter with an empty index.
func NewMemory(c Config) *Memory { return &Memory{x: NewIndex(c)} }

// MemoryFactory is the [Factory] of Memory adapters with the default sizes.
func MemoryFactory(h Host) Adapter { return NewMemory(Config{Logger: h.Logger()}) }

// Index implements [Adapter].
func (a *Memory) Index() *Index { return a.x }

// Init implements [Adapter].
func (a *Memory) Init(context.Context) error { return nil }

// Close implements [Adapter].
func (a *Memory) Close(context.Context) error {
	if a.rec != nil {
		a.rec.close()
	}
	return nil
}

// ServerCount implements [Adapter]. It returns 1.
func (a *Memory) ServerCount(context.Context) (int, error) { return 1, nil }

// Broadcast implements [Adapter]. It fails when a packet for the log cannot be encoded.
func (a *Memory) Broadcast(p Packet, o Opts) error {
	if a.rec != nil && !o.Flags.Has(Volatile) {
		if p, ok := p.(Loggable); ok {
			return a.rec.broadcast(p, &o)
		}
	}
	a.x.Broadcast(p, o)
	return nil
}

// BroadcastWithAck implements [Adapter]. When it returns, acks.Count was called.
func (a *Memory) BroadcastWithAck(p Packet, o Opts, acks Acks) (int, error) {
	acks.Count(a.x.Broadcast(p, o))
	return 1, nil
}

// FetchSockets implements [Adapter]. The result holds ID, Rooms and Local.
func (a *Memory) FetchSockets(_ context.Context, o Opts) ([]SocketInfo, error) {
	return a.x.FetchSockets(o), nil
}

// AllRooms implements [Adapter].
func (a *Memory) AllRooms(context.Context) ([]string, error) { return a.x.AllRooms(), nil }

// AddSockets implements [Adapter].
func (a *Memory) AddSockets(o Opts, rooms []string) error {
	a.x.AddSockets(o, rooms)
	return nil
}

// DelSockets implements [Adapter].
func (a *Memory) DelSockets(o Opts, rooms []string) error {
	a.x.DelSockets(o, rooms)
	return nil
}

// DisconnectSockets implements [Adapter].
func (a *Memory) DisconnectSockets(o Opts, close bool) error {
	a.x.DisconnectSockets(o, close)
	return nil
}

// ServerSideEmit implements [Adapter]. There is nobody to send to.
func (a *Memory) ServerSideEmit(string, []any) error { return nil }

// ServerSideCall implements [Adapter]. There is nobody to answer.
func (a *Memory) ServerSideCall(context.Context, string, []any) ([]any, error) { return nil, nil }
