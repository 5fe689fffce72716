package adaptertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// serverSideEmit checks that all others hear it, and the sender does not.
func serverSideEmit(t *testing.T, cl *cluster) {
	for n, s := range cl.servers {
		cl.must(s.adapter().ServerSideEmit("hello", []any{"from", fmt.Sprint(n)}))
	}
	for n, s := range cl.servers {
		cl.eventually("server-side events", func() bool { return len(s.heard()) >= len(cl.servers)-1 })
		var want []string
		for from := range cl.servers {
			if from != n {
				want = append(want, fmt.Sprintf("hello[from %d]", from))
			}
		}
		got := s.heard()
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("server %d heard %q, want %q", n, got, want)
		}
	}
}

func serverSideCall(t *testing.T, cl *cluster) {
	for n, s := range cl.servers {
		got, err := s.adapter().ServerSideCall(cl.context(), "who", []any{true})
		cl.must(err)
		if got, want := texts(got), cl.others(n); !slices.Equal(got, want) {
			t.Errorf("server %d got %q, want %q", n, got, want)
		}
	}
}

// others returns the answers of all servers but n.
func (cl *cluster) others(n int) []string {
	var want []string
	for i := range cl.servers {
		if i != n {
			want = append(want, fmt.Sprint("server ", i))
		}
	}
	return want
}

func texts(vs []any) []string {
	var ts []string
	for _, v := range vs {
		ts = append(ts, fmt.Sprint(v))
	}
	slices.Sort(ts)
	return ts
}

// A server that does not answer leaves the call with the answers of the others
// when the context ends.
func serverSideCallUnanswered(t *testing.T, cl *cluster) {
	if len(cl.servers) == 1 {
		// Nobody could answer, so there is nothing to wait for.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if got, err := cl.servers[0].adapter().ServerSideCall(ctx, "who", nil); len(got) > 0 || err != nil {
			t.Errorf("got %v, %v", got, err)
		}
		return
	}
	mute := len(cl.servers) - 1
	cl.servers[mute].setMute()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		got, err := cl.servers[0].adapter().ServerSideCall(ctx, "who", nil)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want %v", err, context.Canceled)
		}
		want := cl.others(0)
		want = want[:len(want)-1]
		if got := texts(got); !subset(got, want) {
			t.Errorf("got %q, want at most %q", got, want)
		}
	}()
	for _, s := range cl.servers[1:] {
		cl.eventually("the call at every server", func() bool { return len(s.heard()) == 1 })
	}
	cancel()
	<-answered
}

// subset reports whether every element of a is in b.
func subset(a, b []string) bool {
	return !slices.ContainsFunc(a, func(s string) bool { return !slices.Contains(b, s) })
}
