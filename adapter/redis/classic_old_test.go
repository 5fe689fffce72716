package redis_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/epio-go/epio/adapter/cluster/clustertest"
	"github.com/epio-go/epio/adapter/redis"
)

// Versions of the reference before 6 name one socket in their requests, or ask for ids. They are answered, by the server that
// has the socket.
func TestClassicOldRequests(t *testing.T) {
	rdb := startServer(t).client()
	for _, specific := range []bool{false, true} {
		t.Run(fmt.Sprintf("specific=%t", specific), func(t *testing.T) {
			host := &clustertest.Host{Name: "/"}
			key := fmt.Sprintf("old-%t", specific)
			a := clustertest.Open(t, redis.Classic(rdb, redis.ClassicOptions{Key: key, PublishOnSpecificResponseChannel: specific}), host)
			one := clustertest.Connect(t, a, "one", "red")
			clustertest.Connect(t, a, "two", "red", "blue")

			channel := key + "-response#/#"
			if specific {
				channel += "asker#"
			}
			sub := rdb.Subscribe(t.Context(), channel)
			defer sub.Close()
			if _, err := sub.Receive(t.Context()); err != nil { // subscribed
				t.Fatal(err)
			}
			n := 0
			send := func(members string) {
				t.Helper()
				n++
				request := fmt.Sprintf(`{"uid":"asker","requestId":"%d",%s}`, n, members)
				if err := rdb.Publish(t.Context(), key+"-request#/#", request).Err(); err != nil {
					t.Fatal(err)
				}
			}
			// ask sends a request and returns the answer. What came before without being answered has none by then.
			ask := func(members string) (answer struct {
				RequestID string
				Sockets   []string
			},
			) {
				t.Helper()
				send(members)
				select {
				case m := <-sub.Channel():
					if err := json.Unmarshal([]byte(m.Payload), &answer); err != nil {
						t.Fatalf("%s: %v", m.Payload, err)
					}
				case <-time.After(20 * time.Second):
					t.Fatalf("no answer to %s", members)
				}
				if answer.RequestID != fmt.Sprint(n) {
					t.Fatalf("%s: the answer to request %s of %d", members, answer.RequestID, n)
				}
				slices.Sort(answer.Sockets)
				return answer
			}
			for members, want := range map[string][]string{
				`"type":0,"rooms":[]`:              {"one", "two"},
				`"type":0,"rooms":["red"]`:         {"one", "two"},
				`"type":0,"rooms":["blue","none"]`: {"two"},
				`"type":0,"rooms":["none"]`:        {},
			} {
				if got := ask(members); !slices.Equal(got.Sockets, want) || got.Sockets == nil {
					t.Errorf("%s: %q, want %q", members, got.Sockets, want)
				}
			}
			x := a.Index()
			ask(`"type":2,"sid":"one","room":"green"`)
			if !x.InRoom(&one.Member, "green") {
				t.Error("join: not in the room")
			}
			ask(`"type":3,"sid":"one","room":"red"`)
			if x.InRoom(&one.Member, "red") || x.RoomSize("red") != 1 {
				t.Error("leave: still in the room, or more than the socket left")
			}

			for _, silent := range []string{
				`"type":2,"sid":"elsewhere","room":"green"`, // another server's
				`"type":2,"sid":"one"`,                      // no room
				`"type":2,"sid":7,"room":"green"`,
				`"type":0,"rooms":"red"`,
				`"type":5,"sid":"one"`, // not of the old form
			} {
				send(silent)
			}
			if got := ask(`"type":0,"rooms":["green"]`).Sockets; !slices.Equal(got, []string{"one"}) {
				t.Errorf("in green: %q", got)
			}
			if one.Disconnected() {
				t.Error("disconnected too early")
			}
			ask(`"type":4,"sid":"one","close":true`)
			if !one.Disconnected() {
				t.Error("not disconnected")
			}
			// At most one line each few seconds.
			clustertest.Eventually(t, "what is malformed is reported", func() bool { return containsAll(host.Log(), "malformed", "request#") })
		})
	}
}
