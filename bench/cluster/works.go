package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// row is what was measured in one cluster. Times are in µs.
type row struct {
	kind, adapter string
	round         int

	rate                 float64    // events a second, across nodes
	cpu                  [4]float64 // of a, b, c and Redis, an event
	local50, local99     float64
	remote50, remote99   float64
	forwarded, delivered int
}

// chunk is how many events are under way.
const chunk = 1000

// forward sends through the cluster for a while.
func (c *cluster) forward(ctx context.Context, o *options, d time.Duration, r *row) error {
	pad := strings.Repeat("x", o.payload)
	before, err := c.spent()
	if err != nil {
		return err
	}
	start := time.Now()
	for time.Since(start) < d {
		request := fmt.Sprintf(`42["bulkEmit",{"rooms":["remote"]},"n",%d,%d,%q]`, c.next, chunk, pad)
		if err := c.driver.send(request); err != nil {
			return err
		}
		for range chunk {
			if _, err := c.remote.want(ctx, c.next); err != nil {
				return err
			}
			c.next++
		}
		r.forwarded += chunk
	}
	took := time.Since(start)
	after, err := c.spent()
	if err != nil {
		return err
	}
	r.rate = float64(r.forwarded) / took.Seconds()
	for i := range after {
		r.cpu[i] = float64((after[i] - before[i]).Nanoseconds()) / 1e3 / float64(r.forwarded)
	}
	return nil
}

// latency sends an event every now and then.
func (c *cluster) latency(ctx context.Context, o *options, r *row) error {
	var times [2][]time.Duration // local, remote
	tick := time.NewTicker(o.pace)
	defer tick.Stop()
	for start := time.Now(); time.Since(start) < o.time; {
		for i, to := range []struct {
			room string
			c    *client
		}{{"local", c.local}, {"remote", c.remote}} {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			sent := time.Now()
			if err := c.driver.send(fmt.Sprintf(`42["emitTo",{"rooms":[%q]},"n",%d]`, to.room, c.next)); err != nil {
				return err
			}
			at, err := to.c.want(ctx, c.next)
			if err != nil {
				return err
			}
			times[i] = append(times[i], at.Sub(sent))
			c.next++
		}
	}
	r.local50, r.local99 = percentiles(times[0])
	r.remote50, r.remote99 = percentiles(times[1])
	r.delivered = len(times[0]) + len(times[1])
	return nil
}

func percentiles(all []time.Duration) (p50, p99 float64) {
	slices.Sort(all)
	at := func(q float64) float64 {
		return float64(all[min(len(all)-1, int(q*float64(len(all))))].Nanoseconds()) / 1e3
	}
	return at(0.5), at(0.99)
}
