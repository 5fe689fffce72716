// Emit sends events to the clients of a cluster from the command line, without being one
// of its servers.
//
//	emit -redis localhost:6379 '{"emit": ["news", {"title": "hello"}]}'
//	emit '{"nsp": "/chat", "to": ["r"], "except": ["x"], "volatile": true, "emit": ["typing"]}'
//	tail -f orders.jsonl | emit -adapter redis-streams
//
// An order is a JSON object with one of these:
//
//	emit        name and arguments of an event for clients
//	serverSide  name and arguments of an event for servers
//	join        rooms to join
//	leave       rooms to leave
//	disconnect  whether to close connections, too
//
// besides nsp, to, except, volatile, compress (true if missing), and file, a path whose
// content becomes one more argument, in binary. Without arguments, orders are read from the
// standard input, one a line. A line that cannot be carried out is reported, and the exit
// status is 1.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	goredis "github.com/redis/go-redis/v9"

	"github.com/epio-go/epio/adapter/emitter"
	"github.com/epio-go/epio/adapter/redis"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("emit: ")
	adapter := flag.String("adapter", "redis", "that of the servers: redis, redis-sharded or redis-streams")
	addr := flag.String("redis", "localhost:6379", "`address` of Redis")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	rdb := goredis.NewClient(&goredis.Options{Addr: *addr, ContextTimeoutEnabled: true})
	defer rdb.Close()
	var e *emitter.Emitter
	switch *adapter {
	case "redis":
		e = redis.NewClassicEmitter(rdb, redis.ClassicOptions{})
	case "redis-sharded":
		e = redis.NewShardedEmitter(rdb, redis.ShardedOptions{})
	case "redis-streams":
		e = redis.NewStreamsEmitter(rdb, redis.StreamsOptions{})
	default:
		log.Fatalf("no adapter %q", *adapter)
	}

	failed := false
	do := func(text []byte) {
		if err := carryOut(ctx, e, text); err != nil {
			failed = true
			log.Printf("%s: %v", text, err)
		}
	}
	for _, arg := range flag.Args() {
		do([]byte(arg))
	}
	if flag.NArg() == 0 {
		if err := lines(os.Stdin, do); err != nil {
			log.Fatal(err)
		}
	}
	if failed {
		os.Exit(1)
	}
}

// lines calls do with each line of r that is not empty.
func lines(r io.Reader, do func(line []byte)) error {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 64<<20)
	for s.Scan() {
		if len(s.Bytes()) > 0 {
			do(s.Bytes())
		}
	}
	return s.Err()
}

// order is one thing to do.
type order struct {
	Nsp        string
	To         []string
	Except     []string
	Volatile   bool
	Compress   *bool
	Emit       []any
	ServerSide []any
	Join       []string
	Leave      []string
	Disconnect *bool
	File       string
}

func carryOut(ctx context.Context, e *emitter.Emitter, text []byte) error {
	var o order
	if err := json.Unmarshal(text, &o); err != nil {
		return err
	}
	e = e.Of(o.Nsp)
	t := e.To(o.To...).Except(o.Except...)
	if o.Volatile {
		t = t.Volatile()
	}
	if o.Compress != nil {
		t = t.Compress(*o.Compress)
	}
	switch {
	case o.Emit != nil:
		name, args, err := event(o.Emit, o.File)
		if err != nil {
			return err
		}
		return t.Emit(ctx, name, args...)
	case o.ServerSide != nil:
		name, args, err := event(o.ServerSide, o.File)
		if err != nil {
			return err
		}
		return e.ServerSideEmit(ctx, name, args...)
	case o.Join != nil:
		return t.Join(ctx, o.Join...)
	case o.Leave != nil:
		return t.Leave(ctx, o.Leave...)
	case o.Disconnect != nil:
		return t.Disconnect(ctx, *o.Disconnect)
	}
	return errors.New("nothing to do")
}

// event takes a list apart, and adds the content of a file.
func event(list []any, file string) (name string, args []any, err error) {
	if len(list) == 0 {
		return "", nil, errors.New("an event has no name")
	}
	name, ok := list[0].(string)
	if !ok {
		return "", nil, fmt.Errorf("%v is not the name of an event", list[0])
	}
	args = list[1:]
	if file != "" {
		content, err := os.ReadFile(file)
		if err != nil {
			return "", nil, err
		}
		args = append(args, content)
	}
	return name, args, nil
}
