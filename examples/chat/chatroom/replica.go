package chatroom

import (
	"context"
	"slices"
	"time"

	"github.com/epio-go/epio/sio"
)

// Several servers have one chat: each knows who is where on the others, and keeps the
// history of all rooms. They tell each other by server-side events:
//
//	chat:people   who is on a server, all of them, whenever that changes, and every second
//	chat:said     a message
//	chat:history  what a server has in its rooms, for one that has just come

// peopleOf is what chat:people says.
type peopleOf struct {
	Server string     `json:"server"`
	People []personIn `json:"people"`
}

type personIn struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Room string `json:"room"`
}

// saidIn is what chat:said says.
type saidIn struct {
	Room    string  `json:"room"`
	Message message `json:"message"`
}

// Times of servers.
const (
	peopleEvery = time.Second
	// deadAfter is how long people are believed to be on a server that says nothing.
	deadAfter = 3500 * time.Millisecond
)

// Replica is the chat on one of several servers.
type Replica struct {
	srv    *sio.Server
	h      *hub
	server string
	change chan struct{} // capacity 1; from moved to Run
}

// RegisterReplica registers the chat with one of several servers. number tells them apart: from 0 to 63. Run makes them one
// chat.
func RegisterReplica(srv *sio.Server, server string, number int) *Replica {
	r := &Replica{srv: srv, h: newHub(number % maxServers), server: server, change: make(chan struct{}, 1)}
	register(srv, r.h, r)
	tell := announce(srv)
	sio.OnServer(srv, "chat:people", func(_ context.Context, p peopleOf) error {
		if r.h.put(p.Server, p.People, tell) {
			return srv.ServerSide().Emit("chat:history", r.h.history())
		}
		return nil
	})
	show := func(room string, m message) { _ = srv.Local().To(room).Emit("message", m) }
	sio.OnServer(srv, "chat:said", func(_ context.Context, s saidIn) error {
		r.h.merge(map[string][]message{s.Room: {s.Message}}, show)
		return nil
	})
	sio.OnServer(srv, "chat:history", func(_ context.Context, all map[string][]message) error {
		r.h.merge(all, show)
		return nil
	})
	return r
}

// moved implements others.
func (r *Replica) moved() {
	select {
	case r.change <- struct{}{}:
	default:
	}
}

// said implements others. That nobody else can be told is not the speaker's fault: the history follows.
func (r *Replica) said(room string, m message) {
	_ = r.srv.ServerSide().Emit("chat:said", saidIn{room, m})
}

// Run tells the other servers who is here, and forgets those that say nothing, until ctx ends.
func (r *Replica) Run(ctx context.Context) {
	tick := time.NewTicker(peopleEvery)
	defer tick.Stop()
	tell := announce(r.srv)
	for ctx.Err() == nil {
		_ = r.srv.ServerSide().Emit("chat:people", peopleOf{r.server, r.h.local()})
		r.h.bury(tell)
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-r.change:
		}
	}
}

// local returns who is on this server.
func (h *hub) local() []personIn {
	h.mu.Lock()
	defer h.mu.Unlock()
	people := []personIn{}
	for _, p := range h.people {
		people = append(people, personIn{p.ID, p.Name, p.room})
	}
	slices.SortFunc(people, func(a, b personIn) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return people
}

// put notes who is on another server, and reports whether that server is new.
func (h *hub) put(server string, list []personIn, tell announcer) (isNew bool) {
	var people []person
	for _, p := range list {
		people = append(people, person{p.ID, p.Name, p.Room})
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	_, known := h.heard[server]
	h.heard[server] = h.now()
	h.change(server, people, tell)
	return !known
}

// bury forgets servers that say nothing, and who was there.
func (h *hub) bury(tell announcer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for server, at := range h.heard {
		if h.now().Sub(at) > deadAfter {
			delete(h.heard, server)
			h.change(server, nil, tell)
		}
	}
}

// change replaces who is on another server, and tells the rooms in which somebody has come or gone. The caller holds the lock.
func (h *hub) change(server string, people []person, tell announcer) {
	old := h.elsewhere[server]
	if slices.Equal(old, people) {
		return
	}
	if len(people) == 0 {
		delete(h.elsewhere, server)
	} else {
		h.elsewhere[server] = people
	}
	var rooms []string
	for _, p := range slices.Concat(old, people) {
		if slices.Contains(old, p) != slices.Contains(people, p) {
			rooms = append(rooms, p.room)
		}
	}
	slices.Sort(rooms)
	for _, name := range slices.Compact(rooms) {
		tell(name, h.here(name), h.list())
	}
}

// merge takes in what was said on other servers, and has what is new shown.
func (h *hub) merge(said map[string][]message, show func(room string, m message)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, messages := range said {
		r := h.room(name)
		r.used = h.now()
		for _, m := range messages {
			h.lastID = max(h.lastID, m.ID)
			if r.add(m) {
				show(name, m)
			}
		}
	}
}

// history returns what was said lately, in all rooms.
func (h *hub) history() map[string][]message {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := map[string][]message{}
	for name, r := range h.rooms {
		if len(r.messages) > 0 {
			all[name] = slices.Clone(r.messages)
		}
	}
	return all
}
