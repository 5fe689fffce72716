// Command cluster is the chat on three servers: processes of their own, connected by NATS servers within them, behind a
// small load balancer. Kill one of them, and its people go on with another.
//
//	(cd ../chat && npm ci)      # fetches the official JavaScript client
//	go run . -addr :3000
//
// main.go starts and stops the processes, node.go is what each of them does, balancer.go is what pages connect to.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	log.SetFlags(0)
	addr := flag.String("addr", ":3000", "`address` to listen on")
	count := flag.Int("nodes", 3, "how many nodes, up to 16")
	client := flag.String("client", "", "folder of the client library (default: where npm ci puts it)")
	// How the program starts itself.
	var n nodeConfig
	flag.IntVar(&n.number, "node", -1, "be the node with this `number`, until the standard input ends")
	flag.StringVar(&n.addr, "node-addr", "", "`address` for the balancer")
	flag.StringVar(&n.mesh, "node-mesh", "", "`address` for the other nodes")
	routes := flag.String("node-routes", "", "`addresses` of all nodes, with commas")
	flag.Parse()
	n.client, n.routes = *client, strings.Split(*routes, ",")

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch {
	case n.number >= 0:
		err = runNode(ctx, n)
	case *count < 1 || *count > 16:
		err = errors.New("-nodes must be between 1 and 16")
	default:
		err = runCluster(ctx, *addr, *client, *count)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// runCluster runs the balancer and the nodes behind it until ctx ends.
func runCluster(ctx context.Context, addr, client string, count int) error {
	ports, err := freePorts(2 * count)
	if err != nil {
		return err
	}
	// It goes through the environment: command lines can be read by everybody.
	token := rand.Text()
	addrs, mesh := ports[:count], ports[count:]
	b := newBalancer(addrs)
	var done sync.WaitGroup
	for i := range count {
		c := nodeConfig{number: i, addr: addrs[i], mesh: mesh[i], routes: mesh, client: client}
		done.Go(func() { keepNode(ctx, c, token) })
	}
	done.Go(func() { b.watch(ctx) })
	defer done.Wait()

	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	if err := b.ready(ctx); err != nil {
		return err
	}
	fmt.Printf("chat at http://%s\n", strings.Replace(ln.Addr().String(), "[::]", "localhost", 1))
	// Requests of Socket.IO wait for news: there is no limit to their time.
	srv := &http.Server{Handler: b, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	return srv.Close()
}

// freePorts returns addresses on loopback that nobody listens on.
func freePorts(n int) (addrs []string, err error) {
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer ln.Close()
		addrs = append(addrs, ln.Addr().String())
	}
	return addrs, nil
}

// restartAfter is how long a node that ended stays away.
const restartAfter = 5 * time.Second

// keepNode runs a node as a process, again when it ended, until ctx ends.
func keepNode(ctx context.Context, c nodeConfig, token string) {
	for ctx.Err() == nil {
		if err := startNode(ctx, c, token); err != nil && ctx.Err() == nil {
			log.Printf("node %d: %v", c.number, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(restartAfter):
		}
	}
}

// startNode runs a node until it ends. When ctx does, it is asked to end by the end of its input, which it also sees when
// this process is killed.
func startNode(ctx context.Context, c nodeConfig, token string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, "-node", strconv.Itoa(c.number), "-node-addr", c.addr, "-node-mesh", c.mesh,
		"-node-routes", strings.Join(c.routes, ","), "-client", c.client)
	cmd.Env = append(os.Environ(), tokenVariable+"="+token)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	// Not with the terminal's interrupt, so that it ends in order.
	detach(cmd)
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	fmt.Printf("node %d at %s is process %d\n", c.number, c.addr, cmd.Process.Pid)
	stop := context.AfterFunc(ctx, func() { _ = in.Close() })
	defer stop()
	return cmd.Wait()
}
