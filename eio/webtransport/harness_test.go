package webtransport

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/eio"
)

// patience is how long a test waits for something that must happen.
const patience = 10 * time.Second

// localhost is a certificate for 127.0.0.1 that signs itself.
func localhost(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// rig is a server on a UDP port of the loopback.
type rig struct {
	t      *testing.T
	engine *eio.Server
	h3     *Server
	addr   string
	client *tls.Config
	stop   func()
}

// open starts a server for engine. The test fails if goroutines are left when it ends.
func open(t *testing.T, engine *eio.Server, h3 *http3.Server) *rig {
	t.Helper()
	goroutines := runtime.NumGoroutine()
	certificate := localhost(t)
	roots := x509.NewCertPool()
	roots.AddCert(certificate.Leaf)
	h3.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, engine: engine, h3: New(engine, h3), addr: conn.LocalAddr().String(), client: &tls.Config{RootCAs: roots, NextProtos: []string{http3.NextProtoH3}}}
	served := make(chan error, 1)
	go func() { served <- r.h3.Serve(conn) }()
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		engine.Close()
		if err := r.h3.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := wait(t, served, "Serve"); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve returned %v", err)
		}
		conn.Close()
		eventually(t, "goroutines are back", func() bool { return runtime.NumGoroutine() <= goroutines+2 })
	}
	t.Cleanup(r.stop)
	return r
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			buf := make([]byte, 1<<20)
			t.Fatalf("not in time: %s\n%s", what, buf[:runtime.Stack(buf, true)])
		}
	}
}

func wait[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// dial sends a CONNECT request on a connection of its own.
func (r *rig) dial(path string, header http.Header) (*http.Response, *webtransport.Session, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	d := &webtransport.Transport{
		TLSClientConfig: r.client,
		QUICConfig:      &quic.Config{EnableDatagrams: true, EnableStreamResetPartialDelivery: true},
	}
	r.t.Cleanup(func() { d.Close() })
	return d.Dial(ctx, "https://"+r.addr+path, header)
}

// client is a client's session and its stream.
type client struct {
	t       *testing.T
	session *webtransport.Session
	str     *webtransport.Stream
	rest    []byte
}

// connect opens a session, and its stream with the packet first.
func (r *rig) connect(path, first string) *client {
	r.t.Helper()
	_, session, err := r.dial(path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	c := &client{t: r.t, session: session}
	if c.str, err = session.OpenStream(); err != nil {
		r.t.Fatal(err)
	}
	c.str.SetReadDeadline(time.Now().Add(patience))
	r.t.Cleanup(func() { session.CloseWithError(0, "") })
	c.send(first)
	return c
}

func (c *client) write(b []byte) {
	c.t.Helper()
	if _, err := c.str.Write(b); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

func (c *client) send(packets ...string) {
	c.t.Helper()
	for _, p := range packets {
		c.write(append(codec.AppendWTHeader(nil, false, len(p)), p...))
	}
}

func (c *client) sendBinary(data []byte) {
	c.t.Helper()
	c.write(append(codec.AppendWTHeader(nil, true, len(data)), data...))
}

// next reads one packet.
func (c *client) next() (codec.WTPacket, error) {
	for {
		p, n, err := codec.NextWT(c.rest, 16<<20)
		if n > 0 || err != nil {
			c.rest = c.rest[n:]
			return p, err
		}
		b := make([]byte, 4096)
		if n, err = c.str.Read(b); n == 0 {
			return p, err
		}
		c.rest = append(c.rest, b[:n]...)
	}
}

func (c *client) want(packets ...string) {
	c.t.Helper()
	for _, w := range packets {
		if p, err := c.next(); err != nil || p.Binary || string(p.Data) != w {
			c.t.Fatalf("got packet %.100q, binary=%t, %v, want %.100q", p.Data, p.Binary, err, w)
		}
	}
}

func (c *client) wantBinary(data []byte) {
	c.t.Helper()
	if p, err := c.next(); err != nil || !p.Binary || string(p.Data) != string(data) {
		c.t.Fatalf("got %d bytes, binary=%t, %v, want %d bytes of binary", len(p.Data), p.Binary, err, len(data))
	}
}

// wantClosed waits until the server has closed the session, and checks that it is a good end
// and that nothing more came on the stream.
func (c *client) wantClosed() {
	c.t.Helper()
	p, err := c.next()
	if e, ok := errors.AsType[*webtransport.SessionError](err); len(c.rest) > 0 || err != io.EOF && (!ok || !e.Remote || e.ErrorCode != 0) {
		c.t.Fatalf("got packet %.100q, %v, want the end", p.Data, err)
	}
	wait(c.t, c.session.Context().Done(), "the end of the session")
}
