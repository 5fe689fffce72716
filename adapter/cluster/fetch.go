package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/epio-go/epio/adapter"
)

var errListeners = errors.New("adapter/cluster: too many events wait for their listeners")

// ask sends m to all other servers and waits for their answers of the given kind.
func (a *Adapter) ask(ctx context.Context, m *Message, kind Type) (*request, error) {
	r := &request{kind: kind}
	limit := a.cfg.RequestsTimeout
	if m.Opts.Timeout > 0 {
		limit = m.Opts.Timeout
	}
	start := time.Now()
	err := a.others(r, func() (int, error) { return a.count(ctx, limit) })
	if err != nil {
		return r, fmt.Errorf("adapter/cluster: servers not counted: %w", err)
	}
	if r.missingLocked() <= 0 { // nobody else knows r yet
		return r, nil
	}
	m.RequestID = a.requests.add(r)
	if err := a.send(m); err != nil {
		a.requests.cancel(m.RequestID)
		return r, err
	}
	return r, a.requests.wait(ctx, m.RequestID, r, limit-time.Since(start))
}

// FetchSockets implements [adapter.Adapter].
func (a *Adapter) FetchSockets(ctx context.Context, o adapter.Opts) ([]adapter.SocketInfo, error) {
	all := a.x.FetchSockets(o)
	if a.local(&o) {
		return all, nil
	}
	r, err := a.ask(ctx, &Message{Type: FetchSockets, Opts: o}, FetchSocketsResponse)
	return append(all, r.sockets...), err
}

// AllRooms implements [adapter.Adapter].
func (a *Adapter) AllRooms(ctx context.Context) ([]string, error) {
	all := a.x.AllRooms()
	if !a.running() {
		return all, nil
	}
	if a.cfg.RoomRequests {
		r, err := a.ask(ctx, &Message{Type: AllRooms}, AllRoomsResponse)
		return unique(append(all, r.rooms...)), err
	}
	r, err := a.ask(ctx, &Message{Type: FetchSockets}, FetchSocketsResponse)
	for i := range r.sockets {
		all = append(all, r.sockets[i].Rooms...)
	}
	return unique(all), err
}

// ServerSideCall implements [adapter.Adapter].
func (a *Adapter) ServerSideCall(ctx context.Context, event string, args []any) ([]any, error) {
	if !a.running() {
		return nil, nil
	}
	r, err := a.ask(ctx, &Message{Type: ServerSideEmit, Event: event, Args: args}, ServerSideEmitResponse)
	return r.answers, err
}
