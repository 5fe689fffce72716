package redis

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// entry is one entry of a stream on its way to a namespace.
type entry struct {
	id     string
	values map[string]any
	begin  bool // not an entry: reading begins behind id
}

// reader reads one stream for all namespaces of a factory. It blocks a connection.
type reader struct {
	hub    *hub
	stream string
	o      *StreamsOptions
	start  sync.Once
	done   sync.WaitGroup
	ctx    context.Context
	stop   context.CancelFunc
	count  int64 // owned by run: how many entries to read at once

	mu      sync.Mutex
	drivers []*streams    // guarded by mu
	at      string        // guarded by mu: the last entry handed on; empty until that is known
	placed  chan struct{} // closed when at is known
}

// reader returns the reader of a stream, making it if there is none.
func (h *hub) reader(stream string, o *StreamsOptions) *reader {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.readers[stream]
	if r == nil {
		r = &reader{hub: h, stream: stream, o: o, count: o.ReadCount, placed: make(chan struct{})}
		r.ctx, r.stop = context.WithCancel(context.Background())
		if h.readers == nil {
			h.readers = make(map[string]*reader)
		}
		h.readers[stream] = r
	}
	return r
}

// add hands entries to d from now on and returns when it is certain where that begins.
func (r *reader) add(ctx context.Context, d *streams) error {
	r.start.Do(func() { r.done.Go(r.run) })
	r.mu.Lock()
	r.drivers = append(r.drivers, d)
	if r.at != "" {
		d.in.putEntry(&entry{id: r.at, begin: true})
	}
	r.mu.Unlock()
	return wait(ctx, []chan struct{}{r.placed})
}

func (r *reader) remove(d *streams) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drivers = slices.DeleteFunc(slices.Clone(r.drivers), func(o *streams) bool { return o == d })
}

// end stops reading; the client must be closed, or that takes as long as a command
// blocks.
func (r *reader) end() {
	r.stop()
	r.done.Wait()
}

// last returns the id of the newest entry.
func (r *reader) last() (string, error) {
	ctx, cancel := context.WithTimeout(r.ctx, 2*time.Second)
	defer cancel()
	es, err := r.hub.rdb.XRevRangeN(ctx, r.stream, "+", "-", 1).Result()
	if err != nil {
		return "", err
	}
	if len(es) == 0 {
		return nothing, nil
	}
	return es[0].ID, nil
}

// run reads until end.
func (r *reader) run() {
	pause := firstPause
	for r.ctx.Err() == nil {
		err := r.step()
		if err == nil {
			pause = firstPause
			continue
		}
		if r.ctx.Err() != nil {
			return
		}
		r.report(err)
		select {
		case <-r.ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
}

func (r *reader) report(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.drivers) > 0 {
		r.drivers[0].a.Report("adapter: stream cannot be read, trying again", err)
	}
}

// step finds out where to begin, or reads once.
func (r *reader) step() error {
	r.mu.Lock()
	at := r.at
	r.mu.Unlock()
	if at == "" {
		at, err := r.last()
		if err != nil {
			return err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.at = at
		for _, d := range r.drivers {
			d.in.putEntry(&entry{id: at, begin: true})
		}
		close(r.placed)
		return nil
	}
	// A Redis that does not answer when its time is over is gone.
	ctx, cancel := context.WithTimeout(r.ctx, r.o.BlockTime+2*time.Second)
	defer cancel()
	got, err := r.hub.rdb.XRead(ctx, &goredis.XReadArgs{
		Streams: []string{r.stream, at},
		Count:   r.count,
		Block:   r.o.BlockTime,
	}).Result()
	if errors.Is(err, goredis.Nil) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, s := range got {
		// Whoever falls behind must be faster: the stream keeps no more than MaxLen.
		r.count = r.o.ReadCount
		if n := int64(len(s.Messages)); n >= r.o.ReadCount {
			r.count = min(2*n, max(r.o.ReadCount, r.o.MaxLen/4))
		}
		for i := range s.Messages {
			r.handOn(&entry{id: s.Messages[i].ID, values: s.Messages[i].Values})
		}
	}
	return nil
}

// has reports whether the entry with this id was handed on.
func (r *reader) has(id string) bool {
	r.mu.Lock()
	at := r.at
	r.mu.Unlock()
	a, ok1 := parseOffset(at)
	b, ok2 := parseOffset(id)
	return !ok1 || !ok2 || a.compare(b) >= 0
}

// handOn gives an entry to all namespaces: those it is not for see that the log has
// advanced.
func (r *reader) handOn(e *entry) {
	r.mu.Lock()
	r.at = e.id
	drivers := r.drivers
	r.mu.Unlock()
	for _, d := range drivers {
		d.in.putEntry(e)
	}
}
