package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"
)

// balancer passes requests on to nodes. Requests of one page go to one node, since a session of Engine.IO is at home on one:
// a cookie says which. When that is gone, the page is given another one, and connects afresh.
type balancer struct {
	nodes []*backend
	next  atomic.Uint32
}

type backend struct {
	addr  string
	proxy *httputil.ReverseProxy
	up    atomic.Bool
}

const (
	nodeCookie = "node"
	checkEvery = 200 * time.Millisecond
)

func newBalancer(addrs []string) *balancer {
	b := new(balancer)
	for _, addr := range addrs {
		n := &backend{addr: addr}
		// It passes upgrades to WebSocket through.
		n.proxy = &httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(&url.URL{Scheme: "http", Host: addr})
				r.Out.Host = r.In.Host
				r.SetXForwarded()
			},
			FlushInterval: -1,
			ErrorHandler: func(w http.ResponseWriter, r *http.Request, _ error) {
				if r.Context().Err() == nil {
					n.up.Store(false) // until it answers again
				}
				http.Error(w, "the node is gone", http.StatusBadGateway)
			},
		}
		b.nodes = append(b.nodes, n)
	}
	return b
}

// ServeHTTP implements [http.Handler].
func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := b.choose(w, r)
	if n == nil {
		http.Error(w, "no node", http.StatusServiceUnavailable)
		return
	}
	n.proxy.ServeHTTP(w, r)
}

// choose returns the node of a request, and tells the page when it is another one than before.
func (b *balancer) choose(w http.ResponseWriter, r *http.Request) *backend {
	if c, err := r.Cookie(nodeCookie); err == nil {
		if i, err := strconv.Atoi(c.Value); err == nil && i >= 0 && i < len(b.nodes) && b.nodes[i].up.Load() {
			return b.nodes[i]
		}
	}
	first := int(b.next.Add(1))
	for i := range b.nodes {
		i = (first + i) % len(b.nodes)
		if b.nodes[i].up.Load() {
			http.SetCookie(w, &http.Cookie{
				Name: nodeCookie, Value: strconv.Itoa(i), Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
			})
			return b.nodes[i]
		}
	}
	return nil
}

// watch looks which nodes are there, until ctx ends.
func (b *balancer) watch(ctx context.Context) {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		for _, n := range b.nodes {
			n.check()
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func (n *backend) check() {
	c, err := net.DialTimeout("tcp", n.addr, checkEvery)
	if err == nil {
		_ = c.Close()
	}
	n.up.Store(err == nil)
}

// ready returns when all nodes are there.
func (b *balancer) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for _, n := range b.nodes {
		for !n.up.Load() {
			select {
			case <-ctx.Done():
				return fmt.Errorf("the node at %s does not start: %w", n.addr, ctx.Err())
			case <-tick.C:
			}
		}
	}
	return nil
}
