package embedded

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
)

// Server is a NATS server in this process. All methods may be called concurrently.
type Server struct {
	s      *server.Server
	config Config // immutable

	mu      sync.Mutex
	options *server.Options // guarded by mu: as they are now
}

// startWait bounds the time a server takes to listen.
const startWait = 10 * time.Second

// Start starts a server. When it returns, adapters can connect, and other servers can.
// Connections to those in Routes are made in the background: they may not be there yet.
func Start(c Config) (*Server, error) {
	o, err := c.options()
	if err != nil {
		return nil, err
	}
	if c.Configure != nil {
		c.Configure(o)
	}
	s, err := server.NewServer(o)
	if err != nil {
		return nil, fmt.Errorf("adapter/nats/embedded: %w", err)
	}
	if c.Logger != nil {
		s.SetLoggerV2(logger{c.Logger}, false, false, false)
	}
	s.Start()
	if !s.ReadyForConnections(startWait) {
		s.Shutdown()
		s.WaitForShutdown()
		return nil, fmt.Errorf("adapter/nats/embedded: cannot listen on %q or %q", c.Listen, c.Clients)
	}
	return &Server{s: s, config: c, options: o}, nil
}

// Options are what connects an adapter to the server, for nats.Options.Connect.
func (s *Server) Options() []natsgo.Option {
	s.mu.Lock()
	token := s.options.Authorization
	s.mu.Unlock()
	o := []natsgo.Option{natsgo.InProcessServer(s.s)}
	if token != "" {
		o = append(o, natsgo.Token(token))
	}
	return o
}

// RouteAddr is where other servers connect, for their Config.Routes: with the port that
// was taken where Config.Listen left that open. Empty without a mesh.
func (s *Server) RouteAddr() string {
	a := s.s.ClusterAddr()
	if a == nil {
		return ""
	}
	return a.String()
}

// ClientAddr is where clients from outside connect. Empty if they cannot.
func (s *Server) ClientAddr() string {
	if s.config.Clients == "" {
		return ""
	}
	a, ok := s.s.Addr().(*net.TCPAddr)
	if !ok {
		return ""
	}
	return a.String()
}

// Peers returns how many other servers this one is connected to.
func (s *Server) Peers() int {
	// Several connections lead to each.
	return s.s.NumRemotes()
}

var errAlone = errors.New("adapter/nats/embedded: Listen is not set, so there is no mesh")

// SetRoutes replaces Config.Routes, for programs that learn of other servers while they
// run, from a service registry say. Connections to servers no longer in it stay, since
// these are connected to this one, too.
func (s *Server) SetRoutes(routes []string) error {
	if s.config.Listen == "" {
		return errAlone
	}
	var errs []error
	refuse := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("adapter/nats/embedded: "+format, args...))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.options.Clone()
	o.Routes = nil
	for _, r := range routes {
		host, port := hostPort(r, "Routes", refuse)
		o.Routes = append(o.Routes, s.config.route(host, port))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := s.s.ReloadOptions(o); err != nil {
		return fmt.Errorf("adapter/nats/embedded: %w", err)
	}
	s.options = o
	return nil
}

// NATS returns the server itself.
func (s *Server) NATS() *server.Server { return s.s }

// Close stops the server and waits for that. Close the adapters before, so that they say
// goodbye. Later calls do nothing.
func (s *Server) Close() {
	s.s.Shutdown()
	s.s.WaitForShutdown()
}
