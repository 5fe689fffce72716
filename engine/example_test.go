package engine_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"

	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/pool"
)

// lines sends every complete line back. What follows the last one is left, and shown again together with what comes next.
type lines struct{}

func (lines) Data(c *engine.Conn, p []byte) int {
	n := bytes.LastIndexByte(p, '\n') + 1
	if n > 0 {
		_ = c.Send(pool.Copy(p[:n]).Seal(0)) // an error means that the connection is closed, or its buffer full
	}
	return n
}

func (lines) Closed(*engine.Conn, error) {}

// A server of lines. Its connections own no goroutine where there is a reactor.
func Example() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	e := engine.New(engine.Options{})
	served := make(chan error, 1)
	go func() { served <- e.Serve(ln, func(*engine.Conn) engine.Handler { return lines{} }) }()

	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	for _, part := range []string{"good ", "morning\ngood", " night\n"} {
		if _, err := client.Write([]byte(part)); err != nil {
			fmt.Println(err)
			return
		}
	}
	answers := bufio.NewScanner(client)
	for range 2 {
		answers.Scan()
		fmt.Println(answers.Text())
	}
	e.Close()
	fmt.Println(errors.Is(<-served, net.ErrClosed))
	// Output:
	// good morning
	// good night
	// true
}
