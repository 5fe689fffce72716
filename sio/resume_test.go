package sio

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestResumeStateSurvives(t *testing.T) {
	r := &resume{came: hashOf("x"), real: true, since: "s", last: "l", left: "left"}
	for i := range maxTrail + 2 {
		r.trail.add(hashOf(fmt.Sprint(i)), fmt.Sprint("at", i))
	}
	b := r.marshal()
	var got resume
	if !got.unmarshal(b) || fmt.Sprint(got) != fmt.Sprint(*r) {
		t.Errorf("got %+v, want %+v", got, *r)
	}
	for i := range b {
		var part resume
		part.unmarshal(b[:i]) // must not crash
	}
	if new(resume).unmarshal([]byte("something else")) || !new(resume).unmarshal(nil) {
		t.Error("what is understood and what not is mixed up")
	}
}

// TestResolve plays a client that loses its connection at any point of a random
// conversation, and checks that the server finds that point, or knows that it cannot.
func TestResolve(t *testing.T) {
	sure := 0
	for seed := range uint64(3000) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		offset := func(n int) string { return fmt.Sprintf("tag:%08d", n) }
		r := new(resume)
		r.begin(offset(0), "", false)
		client := (*string)(nil) // what it would come with
		place, at := 0, []int{0} // places in the log, and after which the client has what it has
		came := []*string{nil}
		words := 1 + rnd.IntN(200)
		for range rnd.IntN(3 * maxTrail) {
			if rnd.IntN(4) == 0 {
				place++
				r.last = offset(place)
				client = new(r.last)
			} else {
				word := fmt.Sprint("word", rnd.IntN(words))
				r.mislead(hashOf(word))
				client = &word
			}
			at, came = append(at, place), append(came, client)
		}
		// It has got a part of it.
		i := rnd.IntN(len(at))
		r.left = offset(place)
		var back resume
		if !back.unmarshal(r.marshal()) {
			t.Fatal("state not understood")
		}
		said, given := "", came[i] != nil
		if given {
			said = *came[i]
		}
		from, ok := back.resolve(said, given)
		if !ok || strings.HasPrefix(from, "word") { // which the log does not know
			continue
		}
		sure++
		if from != offset(at[i]) {
			t.Fatalf("seed %d: %q means %s, resolved to %s", seed, said, offset(at[i]), from)
		}
	}
	if t.Logf("%d of 3000 were clear", sure); sure < 1000 {
		t.Error("too few")
	}
}

// The client takes any last string for an offset.
func TestRecoveryAfterStrings(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, withRecovery(Config{}))
		c := r.traveller("/")
		s := c.socket()
		volatile := func(args ...any) {
			t.Helper()
			synctest.Wait() // nothing may be on its way
			must(t, s.Volatile().Emit("v", args...))
			c.took(c.next().data)
		}
		all := func(args ...any) {
			t.Helper()
			synctest.Wait()
			must(t, r.srv.Volatile().Emit("v", args...))
			c.took(c.next().data)
		}
		must(t, r.srv.Emit("one"))
		c.wantEvents(`42["one"]`)

		// A string, once.
		volatile(1, "somewhere")
		c.lose()
		must(t, r.srv.Emit("two"))
		s = c.wantBack()
		c.wantEarly(`42["two"]`)

		// The name of an event without arguments, in a broadcast, several times in
		// one place.
		all()
		all()
		if *c.last != "v" {
			t.Fatalf("the offset is %q", *c.last)
		}
		c.lose()
		must(t, r.srv.Emit("three"))
		s = c.wantBack()
		c.wantEarly(`42["three"]`)

		// Again and again with it.
		volatile("tick")
		for range 3 {
			c.lose()
			s = c.wantBack()
			c.wantEarly()
		}
		must(t, r.srv.Emit("four"))
		c.wantEvents(`42["four"]`)

		// The same string in two places: it is not clear which one was received.
		volatile("tick")
		must(t, r.srv.Emit("five"))
		c.wantEvents(`42["five"]`)
		volatile("tick")
		c.lose()
		s = c.wantStranger()
		r.wantLog("not clear what the client has got")

		// The stranger has still the string from before, which is nothing to go by.
		c.lose()
		c.wantStranger()

		// Its own "offset" of the application is none of the server's.
		own := r.traveller("/")
		own.auth = `,"offset":"mine"`
		must(t, r.srv.Emit("six"))
		own.wantEvents(`42["six"]`)
		own.lose()
		own.wantStranger()
		own.lose()
		own.wantStranger()
	})
}

// A client that was refused keeps the old offset until it gets an event.
func TestRecoveryWithAnOldOffset(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, withRecovery(Config{}))
		c := r.traveller("/")
		must(t, r.srv.Emit("one"))
		c.wantEvents(`42["one"]`)
		c.lose()
		c.pid = "01234567890123456789"
		must(t, r.srv.Emit("not for the new one"))
		c.wantStranger()
		for range 2 {
			c.lose()
			c.wantBack()
			c.wantEarly()
		}
		c.lose()
		must(t, r.srv.Emit("two"))
		c.wantBack()
		c.wantEarly(`42["two"]`)
	})
}

// What was in the log long ago is not needed by a client that has all of it.
func TestRecoveryAfterSilence(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, withRecovery(Config{Recovery: &Recovery{LogPackets: 5}}))
		r.traveller("/") // gets the others
		c := r.traveller("/")
		fresh := r.traveller("/")
		must(t, c.socket().Emit("one"))
		c.wantEvents(`42["one"]`)
		for range 20 {
			must(t, r.srv.To("nobody").Emit("elsewhere"))
		}
		c.lose()
		fresh.lose()
		must(t, r.srv.Emit("two"))
		c.wantBack()
		c.wantEarly(`42["two"]`)
		fresh.wantBack()
		fresh.wantEarly(`42["two"]`)

		// But nobody is recovered with a gap.
		c.lose()
		for range 6 {
			must(t, r.srv.To("nobody").Emit("elsewhere"))
		}
		c.wantStranger()
	})
}

func TestRecoveryLimits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := withRecovery(Config{Recovery: &Recovery{Sessions: 2, LogBytes: 20_000}})
		cfg.Engine.SendBuffer = 4096
		r := memory(t, cfg)
		// Sessions: the oldest make room.
		a, b, c := r.traveller("/"), r.traveller("/"), r.traveller("/")
		a.lose()
		b.lose()
		c.lose()
		a.wantStranger()
		b.wantBack()
		c.wantBack()

		// What was missed does not fit into the send buffer: no loop of disconnects.
		c.lose()
		text := strings.Repeat("x", 1000)
		for range 5 {
			must(t, r.srv.To(c.sid).Emit("much", text))
		}
		c.wantStranger()

		// The log is too short.
		b.lose()
		for range 20 {
			must(t, r.srv.To("nobody").Emit("much", text))
		}
		b.wantStranger()

		// After all that time nothing is left.
		for _, p := range []*traveller{a, b, c} {
			p.close()
		}
		time.Sleep(time.Hour)
	})
}

// More than one segment is sent behind the answer, so that it does not come twice when
// the connection ends in between.
func TestRecoveryOfMuch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, withRecovery(Config{}))
		c := r.traveller("/")
		c.lose()
		text := strings.Repeat("x", 500)
		for i := range 5 {
			must(t, r.srv.Emit("much", i, text))
		}
		c.wantBack()
		c.wantEarly()
		c.wantEvents(fmt.Sprintf("42[\"much\",0,%q]", text), fmt.Sprintf("42[\"much\",1,%q]", text))
		c.lose()
		c.wantBack()
		c.wantEvents(fmt.Sprintf("42[\"much\",2,%q]", text), fmt.Sprintf("42[\"much\",3,%q]", text),
			fmt.Sprintf("42[\"much\",4,%q]", text))
		c.wantNothing()
	})
}
