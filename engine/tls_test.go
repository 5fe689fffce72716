package engine

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"
)

// tlsConfigs returns a server's and a client's configuration with a certificate
// made for this run.
var tlsConfigs = sync.OnceValues(func() (server, client *tls.Config) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		&tls.Config{RootCAs: roots}
})

// startTLS serves TLS with the default options and returns a dialer. TLS
// connections must find their way to the portable engine by themselves.
func startTLS(t *testing.T, o Options, accept func(*Conn) Handler) func() *tls.Conn {
	t.Helper()
	server, clientConfig := tlsConfigs()
	ln := listen(t)
	e := New(o)
	served := make(chan error, 1)
	go func() { served <- e.Serve(tls.NewListener(ln, server), accept) }()
	t.Cleanup(func() {
		e.Close()
		if err := <-served; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve returned %v", err)
		}
	})
	return func() *tls.Conn {
		t.Helper()
		nc, err := tls.Dial("tcp", ln.Addr().String(), clientConfig)
		if err != nil {
			t.Fatal(err)
		}
		nc.SetDeadline(time.Now().Add(waitTime))
		t.Cleanup(func() { nc.Close() })
		return nc
	}
}

func TestTLSEcho(t *testing.T) {
	noLeaks(t)
	h := newHandler(echo)
	dial := startTLS(t, Options{}, func(*Conn) Handler { return h })
	nc := dial()
	msg := bytes.Repeat([]byte("0123456789"), 100_000)
	go nc.Write(msg)
	if got := readN(t, nc, len(msg)); !bytes.Equal(got, msg) {
		t.Error("the echo is another")
	}
	nc.Close()
	h.wantClosed(t, io.EOF)
}

// TestTLSSlowReader fills a TLS connection, which blocks its writer and nobody
// else, and ends it gently: everything arrives, then the end.
func TestTLSSlowReader(t *testing.T) {
	noLeaks(t)
	conns := make(chan *Conn, 1)
	h := newHandler(consume)
	dial := startTLS(t, Options{SendBuffer: 1 << 20}, func(c *Conn) Handler { conns <- c; return h })
	nc := dial()
	c := receive(t, conns)
	sent := fill(t, c)
	c.CloseAfterFlush(nil, waitTime)
	if got, err := io.ReadAll(nc); len(got) != sent || err != nil {
		t.Errorf("got %d of %d bytes, %v", len(got), sent, err)
	}
	nc.Close()
	h.wantClosed(t, io.EOF)
}

// TestTLSClose closes a connection whose writer is blocked: at once, though TLS
// would like to say goodbye.
func TestTLSClose(t *testing.T) {
	noLeaks(t)
	conns := make(chan *Conn, 1)
	h := newHandler(consume)
	dial := startTLS(t, Options{}, func(c *Conn) Handler { conns <- c; return h })
	nc := dial()
	c := receive(t, conns)
	fill(t, c)
	start := time.Now()
	c.Close(errTest)
	h.wantClosed(t, errTest)
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("closed after %v", d)
	}
	nc.Close()
}

// TestTLSHandshakeFails ends a connection that speaks no TLS.
func TestTLSHandshakeFails(t *testing.T) {
	noLeaks(t)
	server, _ := tlsConfigs()
	client, nc := tcpPair(t)
	e := New(Options{})
	defer e.Close()
	h := newHandler(consume)
	if _, err := e.Adopt(tls.Server(nc, server), nil, h); err != nil {
		t.Fatal(err)
	}
	io.WriteString(client, "GET / HTTP/1.1\r\n\r\n")
	if err := h.waitClosed(t); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("closed with %v", err)
	}
}
