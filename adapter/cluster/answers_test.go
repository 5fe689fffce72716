package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
)

// The receivers of a server that leaves before they answered are given up; what it says
// after that does not count.
func TestAnswersOfAServerThatLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		a := start(t, &testHost{}, newBusDriver(b), cluster.Config{})
		say := func(m cluster.Message) { say(t, a, "other", m) }
		say(cluster.Message{Type: cluster.Heartbeat})
		spy := newBusDriver(b)
		b.set(spy, "all", true)
		collected := new(acks)
		if _, err := a.BroadcastWithAck(packet("q"), adapter.Opts{Timeout: time.Minute}, collected); err != nil {
			t.Fatal(err)
		}
		id := spied(t, spy)
		say(cluster.Message{Type: cluster.BroadcastAck, RequestID: id, Arg: "early"})
		say(cluster.Message{Type: cluster.BroadcastClientCount, RequestID: id, Count: 3})
		say(cluster.Message{Type: cluster.BroadcastClientCount, RequestID: id, Count: 3})
		say(cluster.Message{Type: cluster.BroadcastAck, RequestID: id, Arg: "late"})
		say(cluster.Message{Type: cluster.AdapterClose})
		say(cluster.Message{Type: cluster.BroadcastAck, RequestID: id, Arg: "too late"})
		if got := collected.String(); got != "counts [0 3] answers [early late] lost 1" {
			t.Error(got)
		}
	})
}

// Of one server one answer counts, and of those that were not asked none. The last to answer ends the wait.
func TestAnswersOfWhoWasAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		a := start(t, &testHost{}, newBusDriver(b), cluster.Config{})
		say(t, a, "x", cluster.Message{Type: cluster.Heartbeat})
		say(t, a, "y", cluster.Message{Type: cluster.Heartbeat})
		spy := newBusDriver(b)
		b.set(spy, "all", true)
		type result struct {
			infos []adapter.SocketInfo
			err   error
		}
		done := make(chan result, 1)
		go func() {
			infos, err := a.FetchSockets(t.Context(), adapter.Opts{})
			done <- result{infos, err}
		}()
		synctest.Wait()
		id := spied(t, spy)
		answer := func(uid, socket string) {
			say(t, a, uid, cluster.Message{Type: cluster.FetchSocketsResponse, RequestID: id, Sockets: []adapter.SocketInfo{{ID: socket}}})
		}
		answer("x", "x1")
		answer("x", "x2")
		answer("z", "z1") // came later, or never was a server
		synctest.Wait()
		if len(done) > 0 {
			t.Fatalf("done before y has answered: %v", <-done)
		}
		answer("y", "y1")
		got := <-done
		var ids []string
		for _, info := range got.infos {
			ids = append(ids, info.ID)
		}
		if want := []string{"x1", "y1"}; got.err != nil || !slices.Equal(ids, want) {
			t.Errorf("fetched %v, %v, want %v", ids, got.err, want)
		}
	})
}

// Answers beyond what a server announced, and a second answer of the same one, are not
// taken for those of others.
func TestAnswersTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		a := start(t, &testHost{}, countedDriver{newBusDriver(b)}, cluster.Config{})
		spies := []*busDriver{newBusDriver(b), newBusDriver(b)}
		for _, spy := range spies {
			b.set(spy, "all", true)
		}
		collected := new(acks)
		if n, err := a.BroadcastWithAck(packet("q"), adapter.Opts{Timeout: time.Second}, collected); n != 3 || err != nil {
			t.Errorf("%d servers, %v", n, err)
		}
		id := spied(t, spies[0])
		say(t, a, "x", cluster.Message{Type: cluster.BroadcastClientCount, RequestID: id, Count: 1})
		say(t, a, "x", cluster.Message{Type: cluster.BroadcastAck, RequestID: id, Arg: "one"})
		say(t, a, "x", cluster.Message{Type: cluster.BroadcastAck, RequestID: id, Arg: "two"})
		say(t, a, "y", cluster.Message{Type: cluster.BroadcastClientCount, RequestID: id, Count: 1})
		say(t, a, "y", cluster.Message{Type: cluster.BroadcastAck, RequestID: id, Arg: "three"})
		if got := collected.String(); got != "counts [0 1 1] answers [one three] lost 0" {
			t.Error(got)
		}

		done := make(chan string)
		go func() {
			answers, err := a.ServerSideCall(t.Context(), "e", nil)
			done <- fmt.Sprint(answers, err)
		}()
		id = spied(t, spies[0])
		say(t, a, "x", cluster.Message{Type: cluster.ServerSideEmitResponse, RequestID: id, Arg: "x"})
		say(t, a, "x", cluster.Message{Type: cluster.ServerSideEmitResponse, RequestID: id, Arg: "x"})
		synctest.Wait()
		say(t, a, "y", cluster.Message{Type: cluster.ServerSideEmitResponse, RequestID: id, Arg: "y"})
		if got := <-done; got != "[x y] <nil>" {
			t.Error(got)
		}
	})
}

// The count goes before the answers, also when clients are faster.
func TestCountGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		far := &testHost{answers: []any{"a", []byte("b")}}
		a := start(t, &testHost{}, countedDriver{newBusDriver(b)}, cluster.Config{})
		connect(t, start(t, far, countedDriver{newBusDriver(b)}, cluster.Config{}), "x")
		collected := new(acks)
		if n, err := a.BroadcastWithAck(packet("q"), adapter.Opts{Timeout: time.Second}, collected); n != 2 || err != nil {
			t.Errorf("%d servers, %v", n, err)
		}
		synctest.Wait()
		if got := collected.String(); got != "counts [0 2] answers [a [98]] lost 0" {
			t.Error(got)
		}
		types := b.types()
		want := []cluster.Type{cluster.Broadcast, cluster.BroadcastClientCount, cluster.BroadcastAck, cluster.BroadcastAck}
		if !slices.Equal(types, want) {
			t.Errorf("sent %v, want %v", types, want)
		}
	})
}

// A server that does not answer is a time-out, with the answers of the others.
func TestRequestsTimeOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker()
		a := start(t, &testHost{}, newBusDriver(b), cluster.Config{RequestsTimeout: 3 * time.Second})
		good := &testHost{event: func(ack func(any)) { ack("good") }}
		start(t, good, newBusDriver(b), cluster.Config{})
		start(t, &testHost{}, newBusDriver(b), cluster.Config{}) // never answers
		synctest.Wait()
		begin := time.Now()
		answers, err := a.ServerSideCall(t.Context(), "e", nil)
		if got := fmt.Sprint(answers); got != "[good]" || !errors.Is(err, cluster.ErrTimeout) ||
			!errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 3*time.Second {
			t.Errorf("%s, %v after %v", got, err, time.Since(begin))
		}
		if !strings.Contains(err.Error(), "1 of 2") {
			t.Errorf("%v", err)
		}
	})
}
