package chatroom

import (
	"fmt"
	"reflect"
	"testing"
	"time"
)

// announcements records what pages are told.
type announcements []string

func (a *announcements) tell(room string, here []person, rooms []roomInfo) {
	var names []string
	for _, p := range here {
		names = append(names, p.Name)
	}
	*a = append(*a, fmt.Sprintf("%s %v %v", room, names, rooms))
}

func quiet(string, []person, []roomInfo) {}

func texts(messages []message) []string {
	list := []string{}
	for _, m := range messages {
		list = append(list, m.Text)
	}
	return list
}

func equal(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestHubAnnounces(t *testing.T) {
	h := newHub(0)
	var a announcements
	h.join(person{ID: "1", Name: "Ada", room: "x"}, 0, a.tell)
	h.join(person{ID: "2", Name: "Bob", room: "x"}, 0, a.tell)
	h.join(person{ID: "3", Name: "Cyd", room: "a"}, 0, a.tell)
	h.leave("1", a.tell)
	h.leave("1", a.tell)
	h.leave("3", a.tell)
	equal(t, []string(a), []string{
		"x [Ada] [{x 1}]",
		"x [Ada Bob] [{x 2}]",
		"a [Cyd] [{a 1} {x 2}]",
		"x [Bob] [{a 1} {x 1}]",
		"a [] [{x 1}]",
	})
}

func TestHubHistory(t *testing.T) {
	h := newHub(0)
	h.join(person{ID: "1", Name: "Ada", room: "x"}, 0, quiet)
	var sent []string
	send := func(room string, m message) { sent = append(sent, room+":"+m.Name+":"+m.Text) }
	var ids []int64
	for i := range maxMessages + 5 {
		m, ok := h.say("1", fmt.Sprint(i), send)
		if !ok {
			t.Fatal("refused")
		}
		ids = append(ids, m.ID)
	}
	equal(t, len(sent), maxMessages+5)
	equal(t, sent[0], "x:Ada:0")
	if _, ok := h.say("nobody", "hi", send); ok {
		t.Error("somebody who is in no room was heard")
	}

	joined := func(after int64) []string {
		defer h.leave("2", quiet)
		return texts(h.join(person{ID: "2", Name: "Bob", room: "x"}, after, quiet))
	}
	all := joined(0)
	equal(t, len(all), maxMessages)
	equal(t, all[0], "5")
	equal(t, joined(ids[len(ids)-3]), []string{fmt.Sprint(maxMessages + 3), fmt.Sprint(maxMessages + 4)})
	equal(t, joined(ids[len(ids)-1]), []string{})
	equal(t, len(joined(ids[0])), maxMessages)
}

func TestHubForgetsEmptyRooms(t *testing.T) {
	h := newHub(0)
	clock := time.Unix(0, 0)
	h.now = func() time.Time { clock = clock.Add(time.Second); return clock }
	h.join(person{ID: "stays", room: "busy"}, 0, quiet)
	for i := range maxRooms + 10 {
		id := fmt.Sprint(i)
		h.join(person{ID: id, room: "room " + id}, 0, quiet)
		h.leave(id, quiet)
	}
	equal(t, len(h.rooms), maxRooms)
	for name, want := range map[string]bool{"busy": true, "room 0": false, "room 10": false, "room 11": true} {
		if (h.rooms[name] != nil) != want {
			t.Errorf("room %q remembered: %t, want %t", name, !want, want)
		}
	}
}
