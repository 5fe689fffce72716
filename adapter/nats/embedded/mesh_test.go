package embedded_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/adapter/cluster/clustertest"
	"github.com/epio-go/epio/adapter/nats"
	"github.com/epio-go/epio/adapter/nats/embedded"
)

// node is a process of a mesh: a server and an adapter.
type node struct {
	h *clustertest.Host
	s *embedded.Server
	a *cluster.Adapter
}

func startNode(t *testing.T, s *embedded.Server) node {
	t.Helper()
	h := &clustertest.Host{Name: "/"}
	a := clustertest.Open(t, factory(t, s, nats.Options{}), h)
	clustertest.Connect(t, a, "socket of "+a.UID(), "r")
	return node{h, s, a}
}

func adapters(nodes []node) (as []*cluster.Adapter) {
	for _, n := range nodes {
		as = append(as, n.a)
	}
	return as
}

// wantAll sees to it that everybody reaches everybody.
func wantAll(t *testing.T, nodes []node, name string) {
	t.Helper()
	clustertest.WantServers(t, adapters(nodes)...)
	for i, from := range nodes {
		for j, to := range nodes {
			if i != j {
				clustertest.Flows(t, from.a, to.h, room, fmt.Sprint(name, i, "to", j, " "))
			}
		}
	}
}

// Processes join a mesh that runs, one says goodbye, one dies, and one comes back.
func TestProcessesJoinAndLeave(t *testing.T) {
	var nodes []node
	for _, s := range startMesh(t, 3) {
		nodes = append(nodes, startNode(t, s))
	}
	wantAll(t, nodes, "three")

	// It knows one of them, and not the one that the others know.
	last := startServer(t, embedded.Config{Listen: anyPort, Token: secret, Routes: []string{nodes[2].s.RouteAddr()}})
	nodes = append(nodes, startNode(t, last))
	wantAll(t, nodes, "four")

	// The first one, by which the mesh was made, leaves.
	first := nodes[0]
	nodes = nodes[1:]
	begin := time.Now()
	clustertest.Close(t, first.a)
	first.s.Close()
	clustertest.WantServers(t, adapters(nodes)...)
	if d := time.Since(begin); d > 3*time.Second {
		t.Errorf("forgotten after %v", d)
	}
	wantAll(t, nodes, "without the first")

	// The last one dies: its server is gone before its adapter can say anything.
	nodes = nodes[:2]
	last.Close()
	begin = time.Now()
	clustertest.WantServers(t, adapters(nodes)...)
	if d := time.Since(begin); d > 4*time.Second {
		t.Errorf("forgotten after %v", d)
	}
	wantAll(t, nodes, "two")

	// A new one with the address of the first is found again by those that look for it.
	again := startServer(t, embedded.Config{Listen: first.s.RouteAddr(), Token: secret})
	wantPeers(t, 2, again)
	wantAll(t, append(nodes, startNode(t, again)), "three again")
}

// Addresses can be given later.
func TestSetRoutes(t *testing.T) {
	a := startServer(t, embedded.Config{Listen: anyPort, Token: secret})
	b := startServer(t, embedded.Config{Listen: anyPort, Token: secret})
	if err := b.SetRoutes([]string{"nonsense"}); err == nil {
		t.Error("nonsense was taken")
	}
	if err := b.SetRoutes([]string{a.RouteAddr()}); err != nil {
		t.Fatal(err)
	}
	wantPeers(t, 1, a, b)
	wantAll(t, []node{startNode(t, a), startNode(t, b)}, "later")
	if err := startServer(t, embedded.Config{}).SetRoutes(nil); err == nil {
		t.Error("routes without a mesh")
	}
}

// The connection between two processes breaks and comes back.
func TestRouteIsCutAndRestored(t *testing.T) {
	a := startServer(t, embedded.Config{Listen: anyPort, Token: secret})
	p := clustertest.NewProxy(t, a.RouteAddr())
	// What a is told to advertise keeps b from going around the proxy.
	b := startServer(t, embedded.Config{Listen: anyPort, Token: secret, Routes: []string{p.Addr()}})
	wantPeers(t, 1, a, b)
	nodes := []node{startNode(t, a), startNode(t, b)}
	wantAll(t, nodes, "before")
	p.Cut()
	for _, n := range nodes {
		clustertest.WantServers(t, n.a) // alone
	}
	p.Restore()
	wantAll(t, nodes, "after")
}

// Who does not know the token, or has no certificate, is not let in.
func TestMeshIsClosedToOthers(t *testing.T) {
	certs := newCerts(t)
	open := func(c embedded.Config) *embedded.Server {
		c.Listen = anyPort
		return startServer(t, c)
	}
	a := open(embedded.Config{Token: secret})
	open(embedded.Config{Token: "wrong", Routes: []string{a.RouteAddr()}})
	open(embedded.Config{Routes: []string{a.RouteAddr()}})
	c := open(embedded.Config{TLS: certs})
	d := open(embedded.Config{TLS: certs, Routes: []string{c.RouteAddr()}})
	open(embedded.Config{TLS: &tls.Config{InsecureSkipVerify: true}, Routes: []string{c.RouteAddr()}})
	wantPeers(t, 1, c, d)
	b := open(embedded.Config{Token: secret, Routes: []string{a.RouteAddr()}})
	wantPeers(t, 1, a, b)

	// The listener that a server without Clients needs to have lets in nobody.
	if addr := a.ClientAddr(); addr != "" {
		t.Errorf("clients are told of %s", addr)
	}
	for _, url := range []string{"nats://%s", "nats://" + secret + "@%s"} {
		if nc, err := natsgo.Connect(fmt.Sprintf(url, a.NATS().Addr())); err == nil {
			nc.Close()
			t.Error("a client came in")
		}
	}
	e := startServer(t, embedded.Config{Clients: anyPort, Token: secret})
	if nc, err := natsgo.Connect(e.ClientAddr()); err == nil {
		nc.Close()
		t.Error("a client came in without the token")
	}
}

func TestConfigIsChecked(t *testing.T) {
	for want, c := range map[string]embedded.Config{
		"need Listen":              {Routes: []string{"127.0.0.1:1"}},
		"can be reached from":      {Listen: ":6222"},
		"Listen: address nonsense": {Listen: "nonsense"},
		"cannot be had in a mesh":  {Listen: anyPort, JetStream: t.TempDir()},
		"has no port number":       {Clients: "127.0.0.1:http"},
		"Routes: address x":        {Listen: anyPort, Routes: []string{"x"}},
		"address already in use":   {Listen: startServer(t, embedded.Config{Listen: anyPort}).RouteAddr()},
	} {
		if s, err := embedded.Start(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
			if err == nil {
				s.Close()
			}
		}
	}
	startServer(t, embedded.Config{Listen: ":0", InsecureOpen: true})
}

// newCerts returns a configuration for both ends, with a certificate of its own.
func newCerts(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mesh"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}},
		RootCAs:      pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
	}
}
