package sio_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"sync"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/epio-go/epio/internal/memconn"
	"github.com/epio-go/epio/sio"
)

// client plays the JavaScript client in the examples, over an in-memory connection. Events and acknowledgements are JSON, as in
// the protocol: ["said","hello"].
type client struct {
	conn io.ReadWriteCloser
	in   io.Reader
	ns   string // as in packets: empty, or "/chat,"

	// answer makes the acknowledgement of an event that asks for one, as JSON. nil: none is given.
	answer func(event string) string
	events chan string // that ask for none
	acks   chan string
	first  chan string // CONNECT or CONNECT_ERROR

	mu sync.Mutex // writing
}

// connect joins a namespace of the server. The result of a refusal is what the client was told.
func connect(srv *sio.Server, namespace, auth string) (*client, string) {
	return connectWith(srv, namespace, auth, nil)
}

// join is connect for clients that are let in.
func join(srv *sio.Server, namespace string) *client {
	c, refused := connect(srv, namespace, "")
	if refused != "" {
		panic(refused)
	}
	return c
}

// connectWith is connect for a client that answers.
func connectWith(srv *sio.Server, namespace, auth string, answer func(event string) string) (*client, string) {
	ln := memconn.Listen()
	go srv.Serve(ln)
	dialer := ws.Dialer{NetDial: func(context.Context, string, string) (net.Conn, error) { return ln.Dial() }}
	conn, br, _, err := dialer.Dial(context.Background(), "ws://server/socket.io/?EIO=4&transport=websocket")
	if err != nil {
		panic(err)
	}
	c := &client{
		conn: conn, in: conn, answer: answer,
		events: make(chan string, 100), acks: make(chan string, 100), first: make(chan string, 1),
	}
	if br != nil {
		c.in = io.MultiReader(io.LimitReader(br, int64(br.Buffered())), conn)
	}
	c.in = bufio.NewReader(c.in)
	if namespace != "/" {
		c.ns = namespace + ","
	}
	go c.read()
	c.write("40" + c.ns + auth)
	if got := <-c.first; strings.HasPrefix(got, "44") {
		c.close()
		return nil, got[len("44"+c.ns):]
	}
	return c, ""
}

// read sorts what comes until the connection ends.
func (c *client) read() {
	defer close(c.events)
	for {
		text, err := wsutil.ReadServerText(struct {
			io.Reader
			io.Writer
		}{c.in, c.conn})
		if err != nil {
			return
		}
		packet := string(text)
		kind, rest := packet[:min(2, len(packet))], strings.TrimPrefix(packet[min(2, len(packet)):], c.ns)
		id, args, _ := strings.Cut(rest, "[")
		switch {
		case packet == "2":
			c.write("3")
		case kind == "40" || kind == "44":
			c.first <- packet
		case kind == "41":
			return
		case kind == "43":
			c.acks <- "[" + args
		case kind == "42" && id == "":
			c.events <- rest
		case kind == "45": // 451-["photo",…], then binary messages, which are passed over
			c.events <- "[" + args
		case kind == "42" && c.answer != nil:
			c.write("43" + c.ns + id + c.answer("["+args))
		}
	}
}

func (c *client) write(packet string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = wsutil.WriteClientText(c.conn, []byte(packet))
}

// emit sends an event.
func (c *client) emit(event string) { c.write("42" + c.ns + event) }

// call sends an event and returns its acknowledgement.
func (c *client) call(event string) string {
	c.write("42" + c.ns + "1" + event)
	return <-c.acks
}

// next returns the next event, or "" when the server has disconnected the client.
func (c *client) next() string { return <-c.events }

// leave leaves the namespace.
func (c *client) leave() { c.write("41" + c.ns) }

func (c *client) close() { c.conn.Close() }
