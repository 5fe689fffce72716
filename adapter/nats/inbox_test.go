package nats

import (
	"context"
	"testing"
	"testing/synctest"
)

// A full inbox refuses what cannot wait, and lets the log wait until there is room.
func TestInboxIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newInbox()
		large := item{data: make([]byte, inboxBytes)}
		if !b.put(large) {
			t.Fatal("the first one may be of any size")
		}
		if b.put(item{}) {
			t.Error("put into a full inbox")
		}
		ctx, cancel := context.WithCancel(t.Context())
		waited := make(chan bool, 1)
		go func() { waited <- b.wait(ctx, item{subject: "given up"}) }()
		synctest.Wait()
		cancel()
		if <-waited {
			t.Error("waited for its context in vain")
		}
		go func() { waited <- b.wait(t.Context(), item{subject: "second"}) }()
		synctest.Wait()

		handling, goOn := make(chan string), make(chan struct{})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			b.run(func(m *item) { handling <- m.subject; <-goOn })
		}()
		<-handling
		synctest.Wait()
		if len(waited) > 0 || b.put(item{}) {
			t.Error("what is being handled counts no more")
		}
		goOn <- struct{}{}
		if got := <-handling; got != "second" || !<-waited {
			t.Errorf("handled %q", got)
		}
		b.close()
		if !b.put(large) || !b.wait(t.Context(), large) {
			t.Error("a closed inbox holds somebody up")
		}
		close(goOn)
		<-ended
	})
}
