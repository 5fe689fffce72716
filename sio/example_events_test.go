package sio_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/epio-go/epio/sio"
)

// Arguments arrive in the handler's own type.
func ExampleOn() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	type say struct {
		Room string   `json:"room"`
		Tags []string `json:"tags"`
	}
	sio.On(srv, "say", func(ctx context.Context, s *sio.Socket, m say) error {
		return s.Emit("heard", m.Room, len(m.Tags))
	})

	c := join(srv, "/")
	c.emit(`["say",{"room":"lobby","tags":["a","b"]}]`)
	fmt.Println(c.next())
	c.emit(`["say"]`) // a missing argument is a zero value
	fmt.Println(c.next())
	// Output:
	// ["heard","lobby",2]
	// ["heard","",0]
}

// One function for each number of arguments.
func ExampleOn2() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	sio.On2(srv, "move", func(ctx context.Context, s *sio.Socket, x, y float64) error {
		return s.Emit("moved", x+1, y+1)
	})

	c := join(srv, "/")
	c.emit(`["move","here"]`) // does not fit: the handler is not called
	c.emit(`["move",3,4.5]`)
	fmt.Println(c.next())
	// Output: ["moved",4,5.5]
}

// On takes a socket, too, for handlers that belong to it alone.
func ExampleOn0_socket() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	srv.OnConnect(func(ctx context.Context, s *sio.Socket) error {
		sio.On0(s, "secret", func(ctx context.Context, s *sio.Socket) error { return s.Emit("told") })
		return nil
	})

	c := join(srv, "/")
	c.emit(`["secret"]`)
	fmt.Println(c.next())
	// Output: ["told"]
}

// What the handler returns is the acknowledgement. Errors are answers, too.
func ExampleOnAck() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	type account struct {
		Name string `json:"name"`
	}
	sio.OnAck(srv, "register", func(ctx context.Context, s *sio.Socket, a account) (string, error) {
		switch a.Name {
		case "":
			return "", &sio.Error{Message: "a name is needed"} // the client may know
		case "root":
			return "", fmt.Errorf("root tried to register") // the log only
		}
		return "welcome, " + a.Name, nil
	})

	c := join(srv, "/")
	fmt.Println(c.call(`["register",{"name":"Ada"}]`))
	fmt.Println(c.call(`["register",{}]`))
	fmt.Println(c.call(`["register",{"name":"root"}]`))
	// Output:
	// ["welcome, Ada"]
	// [{"error":{"message":"a name is needed"}}]
	// [{"error":{"message":"internal error"}}]
}

// Without types: any number of arguments, and acknowledgements of several values.
func ExampleNamespace_Handle() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	srv.Handle("sum", sio.HandlerFunc(func(ctx context.Context, s *sio.Socket, m *sio.Message) error {
		total := 0.0
		for i := range m.Len() {
			var n float64
			if err := m.Decode(i, &n); err != nil {
				return err
			}
			total += n
		}
		return m.Ack(total, m.Len())
	}))

	c := join(srv, "/")
	fmt.Println(c.call(`["sum",1,2.5,3]`))
	// Output: [6.5,3]
}

// An argument that is only passed on need not be decoded.
func ExampleMessage_Raw() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	srv.Handle("relay", sio.HandlerFunc(func(ctx context.Context, s *sio.Socket, m *sio.Message) error {
		return srv.Emit("relayed", json.RawMessage(m.Raw(0)))
	}))

	c := join(srv, "/")
	c.emit(`["relay",{"as":["it","was"]}]`)
	fmt.Println(c.next())
	// Output: ["relayed",{"as":["it","was"]}]
}

// A clone is valid after the handler has returned, and can still be answered.
func ExampleMessage_Clone() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	jobs := make(chan *sio.Message, 1)
	srv.Handle("work", sio.HandlerFunc(func(ctx context.Context, s *sio.Socket, m *sio.Message) error {
		jobs <- m.Clone()
		return nil
	}))
	go func() {
		for job := range jobs {
			var what string
			if err := job.Scan(&what); err != nil {
				continue
			}
			job.Ack(what, "done")
		}
	}()
	defer close(jobs)

	c := join(srv, "/")
	fmt.Println(c.call(`["work","dishes"]`))
	// Output: ["dishes","done"]
}

// []byte, at any depth, travels as binary: the client gets a Buffer or ArrayBuffer. On the wire it is an attachment, and a
// placeholder stands for it.
func ExampleSocket_Emit_binary() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	type photo struct {
		Name  string `json:"name"`
		Bytes []byte `json:"bytes"`
	}
	sio.On0(srv, "show", func(ctx context.Context, s *sio.Socket) error {
		return s.Emit("photo", photo{"cat", []byte{1, 2, 3}})
	})

	c := join(srv, "/")
	c.emit(`["show"]`)
	fmt.Println(c.next())
	// Output: ["photo",{"name":"cat","bytes":{"_placeholder":true,"num":0}}]
}

// Catch-alls see every event, in both directions; the fallback gets what no handler takes.
func ExampleNamespace_HandleAny() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	srv.HandleAny(sio.HandlerFunc(func(ctx context.Context, s *sio.Socket, m *sio.Message) error {
		fmt.Println("in:", m.Event())
		return nil
	}))
	srv.HandleAnyOutgoing(func(s *sio.Socket, event string, args []any) {
		fmt.Println("out:", event, args)
	})
	sio.On0(srv, "ping?", func(ctx context.Context, s *sio.Socket) error { return s.Emit("pong", 1) })
	srv.HandleFallback(sio.HandlerFunc(func(ctx context.Context, s *sio.Socket, m *sio.Message) error {
		return s.Emit("unknown", m.Event())
	}))

	c := join(srv, "/")
	c.emit(`["ping?"]`)
	c.next()
	c.emit(`["what"]`)
	c.next()
	// Output:
	// in: ping?
	// out: pong [1]
	// in: what
	// out: unknown [what]
}

// Event middlewares stand around the handling of every event, the first one outermost.
func ExampleNamespace_Wrap() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	srv.Wrap(func(next sio.Handler) sio.Handler {
		return sio.HandlerFunc(func(ctx context.Context, s *sio.Socket, m *sio.Message) error {
			err := next.Handle(ctx, s, m)
			fmt.Println(m.Event(), "ended with", err)
			return err
		})
	})
	srv.Wrap(func(next sio.Handler) sio.Handler {
		return sio.HandlerFunc(func(ctx context.Context, s *sio.Socket, m *sio.Message) error {
			if m.Event() == "forbidden" {
				return &sio.Error{Message: "no"} // and next is not called
			}
			return next.Handle(ctx, s, m)
		})
	})
	sio.OnAck0(srv, "allowed", func(ctx context.Context, s *sio.Socket) (bool, error) { return true, nil })
	sio.OnAck0(srv, "forbidden", func(ctx context.Context, s *sio.Socket) (bool, error) { return true, nil })

	c := join(srv, "/")
	c.call(`["allowed"]`)
	fmt.Println(c.call(`["forbidden"]`))
	// Unordered output:
	// allowed ended with <nil>
	// forbidden ended with no
	// [{"error":{"message":"no"}}]
}

// Call asks one client.
func ExampleCall() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	sio.On(srv, "delete", func(ctx context.Context, s *sio.Socket, file string) error {
		sure, err := sio.Call[bool](ctx, s, "sure?", "delete "+file) // works inside a handler of s
		if err != nil {
			return err // no answer in time, disconnected, or not a bool
		}
		return s.Emit("deleted", file, sure)
	})

	c, _ := connectWith(srv, "/", "", func(event string) string {
		fmt.Println("asked", event)
		return `[true]`
	})
	c.emit(`["delete","notes.txt"]`)
	fmt.Println(c.next())

	_, err := sio.Call[bool](context.Background(), srv.To("nobody"), "anyone?")
	fmt.Println(err)
	// Output:
	// asked ["sure?","delete notes.txt"]
	// ["deleted","notes.txt",true]
	// sio: nobody was selected
}

// Gather asks many clients and takes their answers as they come.
func ExampleGather() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	for _, vote := range []string{`[true]`, `[false]`, `[true]`, `["perhaps"]`} {
		connectWith(srv, "/", "", func(event string) string { return vote })
	}

	yes, no, odd := 0, 0, 0
	for vote, err := range sio.Gather[bool](context.Background(), srv, "vote") {
		switch {
		case err != nil:
			odd++ // vote.ID did not answer in time, left, or answered no bool
		case vote.Value:
			yes++
		default:
			no++
		}
	}
	fmt.Println(yes, no, odd)
	// Output: 2 1 1
}

// Args keeps all arguments of an acknowledgement.
func ExampleArgs() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	connectWith(srv, "/", "", func(event string) string { return `["Ada",36]` })

	answer, err := sio.Call[sio.Args](context.Background(), srv, "who?")
	if err != nil {
		fmt.Println(err)
		return
	}
	var name string
	var age int
	fmt.Println(answer.Scan(&name, &age), answer.Len(), name, age)
	// Output: <nil> 2 Ada 36
}
