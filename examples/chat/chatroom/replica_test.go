package chatroom

import (
	"slices"
	"testing"
	"time"
)

// Two servers know who is on the other one, and what was said there.
func TestReplicas(t *testing.T) {
	clock := time.Unix(1000, 0)
	var a, b announcements
	h1, h2 := newHub(1), newHub(2)
	for _, h := range []*hub{h1, h2} {
		h.now = func() time.Time { return clock }
	}
	share := func() {
		h1.put("two", h2.local(), a.tell)
		h2.put("one", h1.local(), b.tell)
	}
	h1.join(person{ID: "1", Name: "Ada", room: "x"}, 0, a.tell)
	h2.join(person{ID: "2", Name: "Bob", room: "x"}, 0, b.tell)
	share()
	share()
	equal(t, []string(a), []string{"x [Ada] [{x 1}]", "x [Ada Bob] [{x 2}]"})
	equal(t, []string(b), []string{"x [Bob] [{x 1}]", "x [Bob Ada] [{x 2}]"})

	// Said at the same moment, with different numbers, in one order everywhere.
	none := func(string, message) {}
	m1, _ := h1.say("1", "from one", none)
	m2, _ := h2.say("2", "from two", none)
	var shown []string
	show := func(room string, m message) { shown = append(shown, room+":"+m.Text) }
	h1.merge(map[string][]message{"x": {m2}}, show)
	h2.merge(h1.history(), show)
	h2.merge(h1.history(), show)
	equal(t, shown, []string{"x:from two", "x:from one"})
	equal(t, texts(h1.rooms["x"].messages), texts(h2.rooms["x"].messages))
	m3, _ := h1.say("1", "later", none)
	if m1.ID == m2.ID || m3.ID <= max(m1.ID, m2.ID) {
		t.Errorf("numbers %d, %d, then %d", m1.ID, m2.ID, m3.ID)
	}

	// One server falls silent.
	clock = clock.Add(deadAfter)
	a = nil
	h1.bury(a.tell)
	clock = clock.Add(time.Second)
	h1.bury(a.tell)
	h1.bury(a.tell)
	equal(t, []string(a), []string{"x [Ada] [{x 1}]"})
	if !h1.put("two", h2.local(), a.tell) {
		t.Error("a server that was forgotten is not new")
	}
	h2.leave("2", b.tell)
	h1.put("two", h2.local(), a.tell)
	equal(t, slices.Clone(a[1:]), announcements{"x [Ada Bob] [{x 2}]", "x [Ada] [{x 1}]"})
}
