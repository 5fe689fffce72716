package embedded

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// DefaultCluster is the name of the mesh when none is given.
const DefaultCluster = "epio"

// Config says who is in the mesh. The zero value is a server that stands alone and does
// not listen anywhere.
type Config struct {
	// Name is that of this server, unique in the mesh. Default: a random one.
	Name string
	// Cluster is the name of the mesh, the same for all its servers. Default "epio".
	Cluster string

	// Listen is where other servers connect to this one, host:port; port 0 takes a free
	// one, see Server.RouteAddr. Empty: no mesh.
	Listen string
	// Advertise is the address others are told, host:port, where it is not the one
	// that is listened on: behind address translation, or in a container.
	Advertise string
	// Routes are servers of the mesh, host:port each. One that is there is enough, and
	// those that are not are tried again once a second, forever. The same list may be
	// given to all servers; that it holds the server itself does not matter.
	Routes []string

	// Token is a secret that servers of the mesh show each other. It is as private as
	// the connection, so beyond a network that is trusted use TLS as well.
	Token string
	// TLS is for the connections between servers, both ends of them: with certificates,
	// RootCAs, ClientCAs and, to keep others out, ClientAuth.
	TLS *tls.Config
	// InsecureOpen lets anybody who reaches Listen into the mesh. Without it a mesh that
	// listens beyond loopback needs a Token or certificates of clients.
	InsecureOpen bool

	// Clients is where NATS clients from outside may connect, host:port: monitoring, or
	// services that publish. They show Token if there is one. Empty: nowhere. (With a mesh
	// the server has to listen all the same: on loopback, where it lets in nobody.)
	Clients string

	// JetStream is the folder where JetStream keeps its files, which connection state
	// recovery needs; also when packets are kept in memory. Empty: no JetStream. Not with
	// Listen: JetStream needs to know how many servers there are, and a mesh does not.
	JetStream string

	// Logger is told what the server says. Default: nobody.
	Logger *slog.Logger

	// Configure changes anything else, before the server starts. It may be nil.
	Configure func(*server.Options)
}

// How servers watch their connections to each other. A peer that stands still is given
// up after some ten seconds; that it is not there any more, epio's heartbeats notice
// before.
const (
	routePing  = 3 * time.Second
	routeWrite = 5 * time.Second
	// routeRetries is how often, a second each, a server that others told of is tried
	// again after it was lost. Those in Routes are tried forever.
	routeRetries = 120
	// routeUser is the name that goes with Token.
	routeUser = "epio"
	// clientPending is how much may wait for the adapter in this process.
	clientPending = 64 << 20
)

// options returns the server's options, or everything that is wrong with c.
func (c *Config) options() (*server.Options, error) {
	var errs []error
	refuse := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("adapter/nats/embedded: "+format, args...))
	}
	o := &server.Options{
		ServerName: c.Name,
		DontListen: c.Clients == "",
		NoSigs:     true,
		MaxPending: clientPending,
	}
	if o.ServerName == "" {
		o.ServerName = "epio-" + random(8)
	}
	switch {
	case c.Clients != "":
		o.Host, o.Port = hostPort(c.Clients, "Clients", refuse)
		o.Authorization = c.Token
	case c.Listen != "":
		// Without a listener for clients the server would not start the one for routes.
		o.DontListen = false
		o.Host, o.Port = "127.0.0.1", server.RANDOM_PORT
		o.Authorization = random(32)
	}
	if c.JetStream != "" {
		o.JetStream, o.StoreDir = true, c.JetStream
		if c.Listen != "" {
			refuse("JetStream cannot be had in a mesh; use NATS servers of their own for it")
		}
	}
	if c.Listen == "" {
		if len(c.Routes) > 0 || c.Advertise != "" {
			refuse("Routes and Advertise need Listen")
		}
	} else {
		c.cluster(o, refuse)
	}
	return o, errors.Join(errs...)
}

// cluster sets what concerns the mesh.
func (c *Config) cluster(o *server.Options, refuse func(string, ...any)) {
	k := &o.Cluster
	k.Name = c.Cluster
	if k.Name == "" {
		k.Name = DefaultCluster
	}
	k.Host, k.Port = hostPort(c.Listen, "Listen", refuse)
	if c.Advertise != "" {
		hostPort(c.Advertise, "Advertise", refuse)
		k.Advertise = c.Advertise
	}
	// What clients are told of other servers is of no use to them in a process.
	k.NoAdvertise = c.Clients == ""
	k.ConnectRetries = routeRetries
	k.PingInterval = routePing
	k.WriteDeadline = routeWrite
	if c.Token != "" {
		k.Username, k.Password = routeUser, c.Token
	}
	if c.TLS != nil {
		k.TLSConfig = c.TLS.Clone()
		k.TLSTimeout = 5
	}
	proves := c.TLS != nil && c.TLS.ClientAuth == tls.RequireAndVerifyClientCert
	if ip := net.ParseIP(k.Host); c.Token == "" && !proves && !c.InsecureOpen && !(ip != nil && ip.IsLoopback()) && k.Host != "localhost" {
		refuse("Listen %q can be reached from outside: set Token, or TLS with certificates of clients, or InsecureOpen", c.Listen)
	}
	for _, r := range c.Routes {
		host, port := hostPort(r, "Routes", refuse)
		o.Routes = append(o.Routes, c.route(host, port))
	}
}

func (c *Config) route(host string, port int) *url.URL {
	u := &url.URL{Scheme: "nats-route", Host: net.JoinHostPort(host, strconv.Itoa(port))}
	if c.Token != "" {
		u.User = url.UserPassword(routeUser, c.Token)
	}
	return u
}

// hostPort splits an address. Port 0 becomes what stands for any to the server.
func hostPort(addr, what string, refuse func(string, ...any)) (host string, port int) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		refuse("%s: %w", what, err)
		return "", 0
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		refuse("%s: %q has no port number: %w", what, addr, err)
	}
	if host == "" {
		host = "0.0.0.0"
	}
	if n == 0 {
		return host, server.RANDOM_PORT
	}
	return host, int(n)
}

// random returns n random bytes in hexadecimal.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
