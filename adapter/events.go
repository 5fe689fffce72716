package adapter

import (
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
)

// EventKind tells the room events apart.
type EventKind uint8

const (
	// CreateRoom says that a room got its first member; JoinRoom follows.
	CreateRoom EventKind = iota + 1
	// JoinRoom says that a socket came into a room it was not in.
	JoinRoom
	// LeaveRoom says that a socket left a room it was in.
	LeaveRoom
	// DeleteRoom says that the last member is gone; LeaveRoom came before.
	DeleteRoom
)

// String returns the event's name in the reference server, such as "join-room".
func (k EventKind) String() string {
	switch k {
	case CreateRoom:
		return "create-room"
	case JoinRoom:
		return "join-room"
	case LeaveRoom:
		return "leave-room"
	case DeleteRoom:
		return "delete-room"
	}
	return "unknown"
}

// RoomEvent is a change of the rooms on this server. Own-id rooms are rooms like
// any other here.
type RoomEvent struct {
	Kind EventKind
	Room string
	ID   string // the socket's id; empty for CreateRoom and DeleteRoom
}

// eventQueue carries room events from under the locks to the hooks. Events enter
// in the order of the changes, and one goroutine at a time takes them out, so
// hooks see that order, too: an adapter that subscribes on CreateRoom and
// unsubscribes on DeleteRoom ends up right.
//
// Rejected: calling the hooks from each goroutine for its own changes. A late
// DeleteRoom could then follow the CreateRoom of the room's next life.
type eventQueue struct {
	log   *slog.Logger                       // immutable; may be nil
	hooks atomic.Pointer[[]*func(RoomEvent)] // nil while there are none

	mu      sync.Mutex
	queue   []RoomEvent // guarded by mu
	running bool        // guarded by mu: somebody is calling hooks
	held    int         // guarded by mu: callers of Hold
}

// Observe calls f for every room event from now on, one at a time and in the
// order of the changes, until stop is called; one event more may arrive while
// stop runs.
//
// f runs with no lock held, on the goroutine of some socket that joins or leaves
// a room, perhaps another one than caused the event; so a change may return before
// f was called for it. f may use the index, but must be quick: meanwhile the events
// of all rooms queue up. Without observers events cost nothing.
func (x *Index) Observe(f func(RoomEvent)) (stop func()) {
	q := &x.events
	hook := &f
	q.mu.Lock()
	defer q.mu.Unlock()
	var hooks []*func(RoomEvent)
	if old := q.hooks.Load(); old != nil {
		hooks = slices.Clone(*old)
	}
	hooks = append(hooks, hook)
	q.hooks.Store(&hooks)
	return func() { q.remove(hook) }
}

func (q *eventQueue) remove(hook *func(RoomEvent)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	old := q.hooks.Load()
	if old == nil {
		return
	}
	hooks := slices.DeleteFunc(slices.Clone(*old), func(h *func(RoomEvent)) bool { return h == hook })
	if len(hooks) == 0 {
		q.hooks.Store(nil)
		q.queue = nil
		return
	}
	q.hooks.Store(&hooks)
}

// joinedLocked records that m came into the room. The room's stripe must be
// locked.
func (q *eventQueue) joinedLocked(room string, m *Member, first bool) {
	if q.hooks.Load() == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if first {
		q.queue = append(q.queue, RoomEvent{Kind: CreateRoom, Room: room})
	}
	q.queue = append(q.queue, RoomEvent{Kind: JoinRoom, Room: room, ID: m.recv.ID()})
}

// leftLocked records that the socket left the room. The room's stripe must be
// locked.
func (q *eventQueue) leftLocked(room, id string, last bool) {
	if q.hooks.Load() == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queue = append(q.queue, RoomEvent{Kind: LeaveRoom, Room: room, ID: id})
	if last {
		q.queue = append(q.queue, RoomEvent{Kind: DeleteRoom, Room: room})
	}
}

// Hold keeps the index from calling hooks on this goroutine until release is called,
// once. It is for those who join or connect sockets with a lock of their own held; they
// call it, and release, without that lock. The events wait.
func (x *Index) Hold() (release func()) {
	q := &x.events
	q.mu.Lock()
	q.held++
	q.mu.Unlock()
	return func() {
		q.mu.Lock()
		q.held--
		q.mu.Unlock()
		q.drain()
	}
}

// drain calls the hooks for everything recorded, unless somebody is at it. No
// lock may be held.
func (q *eventQueue) drain() {
	if q.hooks.Load() == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.running || q.held > 0 {
		return
	}
	q.running = true
	defer func() { q.running = false }()
	for len(q.queue) > 0 && q.held == 0 {
		batch := q.queue
		q.queue = nil
		q.callUnlocked(batch)
	}
}

// callUnlocked calls the hooks for batch without the lock. If a hook panics, the
// events behind it stay for the next drain.
func (q *eventQueue) callUnlocked(batch []RoomEvent) {
	done := 0
	q.mu.Unlock()
	defer func() {
		q.mu.Lock()
		if done < len(batch) {
			q.queue = append(batch[done:len(batch):len(batch)], q.queue...)
		}
	}()
	for _, e := range batch {
		done++
		hooks := q.hooks.Load()
		if hooks == nil {
			continue
		}
		for _, h := range *hooks {
			q.call(*h, e)
		}
	}
}

// call calls a hook. Its panic is not the fault of the socket that happens to run it.
func (q *eventQueue) call(hook func(RoomEvent), e RoomEvent) {
	if q.log != nil {
		defer func() {
			if v := recover(); v != nil {
				q.log.Error("adapter: room hook panicked", "event", e.Kind.String(), "room", e.Room, "panic", v, "stack", string(debug.Stack()))
			}
		}()
	}
	hook(e)
}
