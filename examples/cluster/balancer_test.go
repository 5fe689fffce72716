package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing"
)

// startNodes starts servers that say who they are, and a balancer before them.
func startNodes(t *testing.T, n int) (front *httptest.Server, b *balancer, nodes []*httptest.Server) {
	t.Helper()
	var addrs []string
	for i := range n {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Upgrade") == "" {
				fmt.Fprint(w, "node ", i)
				return
			}
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			fmt.Fprint(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			line, _ := rw.ReadString('\n')
			fmt.Fprintf(c, "node %d got %s", i, line)
		}))
		t.Cleanup(s.Close)
		nodes = append(nodes, s)
		addrs = append(addrs, s.Listener.Addr().String())
	}
	b = newBalancer(addrs)
	front = httptest.NewServer(b)
	t.Cleanup(front.Close)
	return front, b, nodes
}

func get(t *testing.T, c *http.Client, url string) string {
	t.Helper()
	res, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(res.StatusCode, " ", strings.TrimSpace(string(body)))
}

func TestPagesStayWithTheirNode(t *testing.T) {
	front, b, nodes := startNodes(t, 3)
	if got := get(t, front.Client(), front.URL); got != "503 no node" {
		t.Errorf("without nodes: %s", got)
	}
	for _, n := range b.nodes {
		n.check()
	}
	homes := map[string]*http.Client{}
	for range 3 {
		jar, _ := cookiejar.New(nil)
		c := &http.Client{Jar: jar}
		home := get(t, c, front.URL)
		homes[home] = c
		for range 5 {
			if got := get(t, c, front.URL); got != home {
				t.Errorf("%s, then %s", home, got)
			}
		}
	}
	if len(homes) != 3 {
		t.Errorf("three pages went to %v", homes)
	}
	// A node goes: the request that finds out fails, the next one does not.
	nodes[1].Close()
	c := homes["200 node 1"]
	if got := get(t, c, front.URL); got != "502 the node is gone" {
		t.Errorf("from a dead node: %s", got)
	}
	moved := get(t, c, front.URL)
	if moved != "200 node 0" && moved != "200 node 2" {
		t.Errorf("moved to %s", moved)
	}
	// A cookie that is none of ours.
	r, _ := http.NewRequest(http.MethodGet, front.URL, nil)
	r.Header.Set("Cookie", "node=99")
	res, err := http.DefaultClient.Do(r)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(res, err)
	}
	res.Body.Close()
}

func TestUpgradesPassThrough(t *testing.T) {
	front, b, _ := startNodes(t, 1)
	b.nodes[0].check()
	c, err := net.Dial("tcp", front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	br := bufio.NewReader(c)
	res, err := http.ReadResponse(br, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(res, err)
	}
	fmt.Fprint(c, "hello\n")
	if line, err := br.ReadString('\n'); line != "node 0 got hello\n" {
		t.Errorf("%q, %v", line, err)
	}
}
