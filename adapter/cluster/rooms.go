package cluster

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/epio-go/epio/adapter"
)

// roomFollower keeps a driver's subscriptions equal to the rooms of the index. Changes
// are collected while the broker is busy, so that a thousand joins are few commands,
// and a room that comes and goes meanwhile is none.
type roomFollower struct {
	sub RoomSubscriber

	mu sync.Mutex
	// guarded by mu
	changed map[string]bool // rooms to look at again: whether it should be subscribed
	have    map[string]bool // subscribed
	busy    bool            // changes are being made
	settled *sync.Cond      // neither changed nor busy
	ended   bool
	unhook  func()

	wake chan struct{} // capacity 1; from event to run
}

func (f *roomFollower) tryRooms(ctx context.Context, subscribe, unsubscribe []string) (err error) {
	defer driverPanic(&err)
	return f.sub.Rooms(ctx, subscribe, unsubscribe)
}

func newRoomFollower(sub RoomSubscriber) *roomFollower {
	f := &roomFollower{
		sub:     sub,
		changed: make(map[string]bool),
		have:    make(map[string]bool),
		wake:    make(chan struct{}, 1),
	}
	f.settled = sync.NewCond(&f.mu)
	return f
}

// observe begins to follow. Rooms may be there already.
func (f *roomFollower) observe(x *adapter.Index) {
	unhook := x.Observe(func(e adapter.RoomEvent) {
		switch e.Kind {
		case adapter.CreateRoom:
			f.change(e.Room, true)
		case adapter.DeleteRoom:
			f.change(e.Room, false)
		}
	})
	f.mu.Lock()
	f.unhook = unhook
	f.mu.Unlock()
	for _, room := range x.AllRooms() {
		f.change(room, true)
	}
}

func (f *roomFollower) change(room string, subscribe bool) {
	if !f.sub.HasChannel(room) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return
	}
	if f.have[room] == subscribe && !f.busy {
		delete(f.changed, room)
		return
	}
	f.changed[room] = subscribe
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// stop ends following; who waits in synced returns.
func (f *roomFollower) stop() {
	f.mu.Lock()
	f.ended = true
	f.settled.Broadcast()
	unhook := f.unhook
	f.mu.Unlock()
	if unhook != nil {
		unhook()
	}
}

// take returns the rooms whose subscription must change.
func (f *roomFollower) take() (subscribe, unsubscribe []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for room, want := range f.changed {
		switch {
		case want && !f.have[room]:
			subscribe = append(subscribe, room)
		case !want && f.have[room]:
			unsubscribe = append(unsubscribe, room)
		}
	}
	clear(f.changed)
	f.busy = len(subscribe)+len(unsubscribe) > 0
	if !f.busy {
		f.settled.Broadcast()
	}
	return subscribe, unsubscribe
}

// made notes the outcome. What failed is looked at again.
func (f *roomFollower) made(subscribe, unsubscribe []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.busy = false
	for _, room := range subscribe {
		if err == nil {
			f.have[room] = true
		} else if _, newer := f.changed[room]; !newer {
			f.changed[room] = true
		}
	}
	for _, room := range unsubscribe {
		if err == nil {
			delete(f.have, room)
		} else if _, newer := f.changed[room]; !newer {
			f.changed[room] = false
		}
	}
	if len(f.changed) == 0 {
		f.settled.Broadcast()
	}
}

func (f *roomFollower) run(ctx context.Context, a *Adapter) {
	pause := firstPause
	for {
		subscribe, unsubscribe := f.take()
		if len(subscribe)+len(unsubscribe) == 0 {
			select {
			case <-ctx.Done():
				return
			case <-f.wake:
				continue
			}
		}
		actx, cancel := context.WithTimeout(ctx, attempt)
		err := f.tryRooms(actx, subscribe, unsubscribe)
		cancel()
		f.made(subscribe, unsubscribe, err)
		if err == nil {
			pause = firstPause
			continue
		}
		if ctx.Err() != nil {
			return
		}
		a.other.log(a.log, slog.LevelWarn, 1, "adapter: rooms not subscribed yet", "namespace", a.nsp, "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
}

// Synced returns when what sockets of this server joined and left before the call has
// reached the broker, so that what others then send to these rooms arrives. With
// drivers that have no channels for rooms it returns at once. The error is ctx's.
func (a *Adapter) Synced(ctx context.Context) error {
	if a.rooms == nil || !a.running() {
		return nil
	}
	return a.rooms.synced(ctx)
}

func (f *roomFollower) synced(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.settled.Broadcast()
	})
	defer stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	for (f.busy || len(f.changed) > 0) && !f.ended {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		f.settled.Wait()
	}
	return nil
}
