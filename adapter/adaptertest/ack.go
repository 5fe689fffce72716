package adaptertest

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/epio-go/epio/adapter"
)

// collector gathers the answers to one broadcast.
type collector struct {
	mu       sync.Mutex
	servers  int      // guarded by mu, as all below
	expected int      // sum of the counts
	answers  []string // sorted when read
	ids      []string
}

func (c *collector) Count(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.servers++
	c.expected += n
}

func (c *collector) Ack(id string, arg any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers = append(c.answers, fmt.Sprint(arg))
	c.ids = append(c.ids, id)
}

func (c *collector) Lost(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expected -= n
}

func (c *collector) done(servers int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.servers == servers && len(c.answers) == c.expected
}

// ask broadcasts with acknowledgements and waits for all of them.
func (cl *cluster) ask(n int, o adapter.Opts) (answers []string, servers int) {
	cl.t.Helper()
	cl.synced()
	c := new(collector)
	p := &packet{event: "ask", args: []any{n}, ack: c.Ack}
	o.Timeout = cl.wait
	servers, err := cl.servers[n].adapter().BroadcastWithAck(p, o, c)
	cl.must(err)
	cl.servers[n].answer(p)
	cl.eventually("all answers", func() bool { return c.done(servers) })
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, id := range c.ids {
		if id != "" && c.answers[i] != id+" got ask" {
			cl.t.Errorf("answer %q in the name of %s", c.answers[i], id)
		}
	}
	slices.Sort(c.answers)
	return slices.Clone(c.answers), c.servers
}

func acksFromEverybody(t *testing.T, cl *cluster) {
	for i := range 2 * len(cl.servers) {
		cl.socket(i, fmt.Sprint("s", i), "r", fmt.Sprint("r", i))
	}
	for n := range cl.servers {
		var all []string
		for _, s := range cl.sockets {
			all = append(all, s.id+" got ask")
		}
		slices.Sort(all)
		for _, o := range []adapter.Opts{{}, {Rooms: []string{"r"}}, {Rooms: []string{"r", "r1"}}} {
			if got, servers := cl.ask(n, o); !slices.Equal(got, all) || servers != len(cl.servers) {
				t.Errorf("server %d: answers %q from %d servers, want %q from %d", n, got, servers, all, len(cl.servers))
			}
		}
		if got, _ := cl.ask(n, adapter.Opts{Rooms: []string{"r1"}}); !slices.Equal(got, []string{"s1 got ask"}) {
			t.Errorf("server %d: answers %q from s1", n, got)
		}
	}
}

func acksFromNobody(t *testing.T, cl *cluster) {
	cl.socket(0, "a")
	for n := range cl.servers {
		if got, servers := cl.ask(n, adapter.Opts{Rooms: []string{"nowhere"}}); len(got) != 0 || servers != len(cl.servers) {
			t.Errorf("server %d: answers %q from %d servers", n, got, servers)
		}
	}
}

// With the local flag only this server counts, and the request ends.
func acksLocal(t *testing.T, cl *cluster) {
	for i := range cl.servers {
		cl.socket(i, fmt.Sprint("s", i))
	}
	for n := range cl.servers {
		want := []string{fmt.Sprintf("s%d got ask", n)}
		if got, servers := cl.ask(n, adapter.Opts{Flags: adapter.Local}); !slices.Equal(got, want) || servers != 1 {
			t.Errorf("server %d: answers %q from %d servers, want %q from 1", n, got, servers, want)
		}
	}
}
