package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
)

// Server is a NATS server in this process. All methods may be called concurrently.
type Server struct {
	// immutable
	s               *server.Server
	config          Config
	routes, clients string // addresses

	mu      sync.Mutex
	options *server.Options // guarded by mu: as they are now
}

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
	l := &logger{l: c.Logger, fatal: make(chan string, 1)}
	if c.Logger == nil {
		l.l = slog.New(slog.DiscardHandler)
	}
	s.SetLoggerV2(l, false, false, false)
	s.Start()
	if err := l.started(s); err != nil {
		s.Shutdown()
		s.WaitForShutdown()
		return nil, fmt.Errorf("adapter/nats/embedded: %w", err)
	}
	srv := &Server{s: s, config: c, options: o}
	if a := s.ClusterAddr(); a != nil {
		srv.routes = a.String()
	}
	if a := s.Addr(); a != nil && c.Clients != "" {
		srv.clients = a.String()
	}
	return srv, nil
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
func (s *Server) RouteAddr() string { return s.routes }

// ClientAddr is where clients from outside connect. Empty if they cannot.
func (s *Server) ClientAddr() string { return s.clients }

// Peers returns how many other servers this one is connected to.
func (s *Server) Peers() int {
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
