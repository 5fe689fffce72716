package main

import "fmt"

// none is a number no call has.
const none = ^uint64(0)

// call sends a call with a number no other one has.
func (c *conn) call() error {
	c.l.calls++
	return c.echo(c.l.calls)
}

// echo keeps one call under way on each of n clients.
func (l *load) echo(n int) (result, error) {
	if n > len(l.conns) {
		return result{}, fmt.Errorf("needs %d clients", n)
	}
	latency := new(histogram)
	units, waiting, over := 0, n, false
	l.expect(answer, func(c *conn, k kind, seq uint64) error {
		if k != answer || seq != c.want {
			return fmt.Errorf("answer %d arrived where %d was due: lost, doubled or reordered", seq, c.want)
		}
		units++
		latency.record(l.now - c.at)
		if over {
			c.want = none
			waiting--
			return nil
		}
		c.at = l.now
		return c.call()
	})
	m, err := l.meter()
	if err != nil {
		return result{}, err
	}
	for _, c := range l.conns {
		c.want = none
	}
	// Spread over the clients, whose memory is not all in the cache.
	for i := range n {
		c := l.conns[i*(len(l.conns)/n)]
		c.at = l.clock()
		if err := c.call(); err != nil {
			return result{}, err
		}
	}
	if err := l.run(); err != nil {
		return result{}, err
	}
	over = true
	if err := l.until(func() bool { return waiting == 0 }); err != nil {
		return result{}, err
	}
	r, err := m.result("answer", units)
	latency.fill(&r)
	return r, err
}
