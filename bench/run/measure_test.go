package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test program plays the servers and the load generator, too: -fake NAME as its
// first arguments picks a part.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "-fake" {
		fake(os.Args[2], os.Args[3:])
		os.Exit(0)
	}
	// With the race detector, a process that ends takes a second more.
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	os.Exit(m.Run())
}

// forever is longer than any test lasts; the process ends then, should nobody stop it.
const forever = time.Minute

func fake(part string, args []string) {
	arg := func(name string) string {
		if i := slices.Index(args, name); i >= 0 {
			return args[i+1]
		}
		return ""
	}
	row := func(work string) {
		json.NewEncoder(os.Stdout).Encode(measurement{Work: work, Clients: 7, Units: 1, CPU: 2})
	}
	wait := func() {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		select {
		case <-ctx.Done():
		case <-time.After(forever):
		}
	}
	listening := func() { log.Printf("listening on %s", arg("-addr")) }
	switch part {
	case "server":
		listening()
		wait()
	case "server that tells":
		go http.ListenAndServe(arg("-pprof"), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"mallocs":17}`)
		}))
		for {
			conn, err := net.Dial("tcp", arg("-pprof"))
			if err == nil {
				conn.Close()
				break
			}
		}
		listening()
		wait()
	case "server that dies":
		log.Fatal("cannot bind")
	case "server that dies under load":
		ln, err := net.Listen("tcp", arg("-addr"))
		if err != nil {
			log.Fatal(err)
		}
		listening()
		ln.Accept()
		panic("what a pity")
	case "server that is silent":
		wait()
	case "server that stays":
		signal.Ignore(syscall.SIGTERM)
		listening()
		<-time.After(forever)

	case "load":
		for work := range strings.SplitSeq(arg("-work"), ",") {
			for _, name := range rowsOf(work) {
				row(name)
			}
		}
	case "load that logs":
		f, err := os.OpenFile(arg("-log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Fprintln(f, arg("-work"), arg("-clients"), arg("-time"))
		row(arg("-work"))
	case "load that asks":
		resp, err := http.Get(arg("-mallocs"))
		if err != nil {
			log.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		json.NewEncoder(os.Stdout).Encode(measurement{Work: "connect", Error: string(b)})
	case "load that hangs":
		row("connect")
		<-time.After(forever)
	case "load that stays":
		signal.Ignore(syscall.SIGTERM)
		<-time.After(forever)
	case "load that fails":
		row("connect")
		log.Fatal("no epoll")
	case "load that waits for the end":
		row("connect")
		conn, err := net.Dial("tcp", arg("-addr"))
		if err != nil {
			log.Fatal(err)
		}
		io.Copy(io.Discard, conn)
		json.NewEncoder(os.Stdout).Encode(measurement{Work: "paced", Error: "closed"})
	case "load that chatters":
		fmt.Println("hello")
	case "load without end":
		for {
			row("connect")
		}
	}
}

func self(t *testing.T, part string) []string {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []string{program, "-fake", part}
}

var small = section{Name: mainSection, Servers: []string{"it"}, Clients: 10, Payload: 64, Rounds: 1, Time: time.Millisecond, Groups: [][]string{{"connect", "slow"}}}

// testRunner has bounds that tests can wait for; work is long where the load is not
// what hangs.
func testRunner(t *testing.T, load string, work time.Duration) *runner {
	return &runner{load: self(t, load), start: 10 * time.Second, stop: 10 * time.Second, work: work, log: io.Discard}
}

func TestVisit(t *testing.T) {
	// Long enough for a load generator that works, short enough to wait for one that does not.
	const long, short = 30 * time.Second, time.Second
	tests := []struct {
		name, server, load string
		work               time.Duration
		errors             []string // part of the error of connect, paced, slow; empty for none
	}{
		{"all is well", "server", "load", long, []string{"", "", ""}},
		{"dies at once", "server that dies", "load", long, []string{"cannot bind", "cannot bind", "cannot bind"}},
		{"dies under load", "server that dies under load", "load that waits for the end", long, []string{"", "closed; the server ended (exit status 2)", "the server ended (exit status 2); it printed \"panic: what a pity\""}},
		{"load hangs", "server", "load that hangs", short, []string{"", "not ready within", "not ready within"}},
		{"load fails", "server", "load that fails", long, []string{"", "no epoll", "exit status 1"}},
		{"load says too little", "server", "load that chatters", long, []string{"hello", "hello", "hello"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := testRunner(t, test.load, test.work)
			if strings.HasPrefix(test.name, "dies") {
				r.grace = 10 * time.Second
			}
			got := r.visit(t.Context(), server{Name: "it", Command: self(t, test.server)}, small, small.Groups[0])
			if len(got) != 3 {
				t.Fatalf("got %d rows, want 3: %+v", len(got), got)
			}
			for i, work := range []string{"connect", "paced", "slow"} {
				m := got[i]
				if m.Work != work || m.Clients != small.Clients {
					t.Errorf("row %d is %s with %d clients, want %s with %d", i, m.Work, m.Clients, work, small.Clients)
				}
				if want := test.errors[i]; (m.Error == "") != (want == "") || !strings.Contains(m.Error, want) {
					t.Errorf("%s: got the error %q, want %q", work, m.Error, want)
				}
				if (m.Error == "") != (m.CPU == 2) {
					t.Errorf("%s has the figure %v beside the error %q", work, m.CPU, m.Error)
				}
			}
		})
	}
}

// TestBounds has servers and load generators that would not end by themselves.
func TestBounds(t *testing.T) {
	tests := []struct {
		name, server, load string
		want               string
	}{
		{"never listens", "server that is silent", "load", "did not listen within"},
		{"ignores SIGTERM", "server that stays", "load", ""},
		{"load ignores SIGTERM", "server", "load that stays", "not ready within"},
		{"load without end", "server", "load without end", "not ready within"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := testRunner(t, test.load, 100*time.Millisecond)
			if test.want == "" {
				r.work = 10 * time.Second
			} else if test.load == "load" {
				r.start = 100 * time.Millisecond
			}
			r.stop = 200 * time.Millisecond
			started := time.Now()
			mark := []string{"-mark", t.Name()}
			r.load = append(r.load, mark...)
			target := server{Name: "it", Command: append(self(t, test.server), mark...)}
			got := r.visit(t.Context(), target, small, []string{"echo1"})
			if len(got) != 1 || got[0].Work != "echo1" || !strings.Contains(got[0].Error, test.want) || (got[0].Error == "") != (test.want == "") {
				t.Errorf("got %+v, want the error %q", got, test.want)
			}
			if d := time.Since(started); d > forever/2 {
				t.Errorf("it took %v", d)
			}
			if p := processes(t, t.Name()); len(p) > 0 {
				t.Errorf("processes are left: %v", p)
			}
		})
	}
}

// TestInterrupt cancels a run while its load generator hangs.
func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	interrupted := errors.New("interrupted")
	r := testRunner(t, "load that hangs", forever)
	r.log = writerFunc(func(b []byte) { go cancel(interrupted) }) // it has begun
	rows, err := r.all(ctx, []section{small, small}, []server{{Name: "it", Command: self(t, "server that stays")}})
	if !errors.Is(err, interrupted) || len(rows) > 0 {
		t.Errorf("got %v and %d rows, want %v and none", err, len(rows), interrupted)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) {
	f(b)
	return len(b), nil
}

// processes returns those with an argument.
func processes(t *testing.T, arg string) (found []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		// One that has ended meanwhile cannot be read.
		if b, err := os.ReadFile(file); err == nil && slices.Contains(strings.Split(string(b), "\x00"), arg) {
			found = append(found, file)
		}
	}
	return found
}

func TestAllocationsURL(t *testing.T) {
	r := testRunner(t, "load that asks", 10*time.Second)
	target := server{Name: "it", Command: self(t, "server that tells"), Debug: true}
	got := r.visit(t.Context(), target, small, []string{"connect"})
	if want := `{"mallocs":17}`; len(got) != 1 || got[0].Error != want {
		t.Errorf("the load generator read %+v from the URL, want %s", got, want)
	}
	// One that has the flag, and does not tell: the load generator gets no URL.
	target.Command = self(t, "server")
	if got = r.visit(t.Context(), target, small, []string{"connect"}); len(got) != 1 || !strings.Contains(got[0].Error, "unsupported protocol scheme") {
		t.Errorf("got %+v, want a load generator without a URL", got)
	}
}

// TestOrder checks that every round walks along the servers that are there, back and
// forth, and that rows of one walk have one number.
func TestOrder(t *testing.T) {
	s := section{Name: "s", Servers: []string{"a", "missing", "b"}, Clients: 1, Rounds: 2, Time: time.Millisecond, Groups: [][]string{{"connect"}, {"echo1"}}}
	one := server{Command: self(t, "server")}
	a, b := one, one
	a.Name, b.Name = "a", "b"
	rows, err := testRunner(t, "load", 10*time.Second).all(t.Context(), []section{s}, []server{b, a})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rows {
		got = append(got, fmt.Sprintf("%d %s %s%s", r.Pass, r.Server, r.Work, r.Error))
	}
	want := []string{
		"1 a connect", "1 b connect", "2 a echo1", "2 b echo1",
		"3 b connect", "3 a connect", "4 b echo1", "4 a echo1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestWarm checks that works are done before they count, and memory at rest is not.
func TestWarm(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	r := testRunner(t, "load that logs", 10*time.Second)
	r.load = append(r.load, "-log", file)
	s := section{Name: "s", Servers: []string{"it"}, Clients: 3000, Rounds: 1, Time: 20 * time.Millisecond, Warm: 10 * time.Millisecond, Groups: [][]string{{"idle"}, {"echo1"}}}
	rows, err := r.all(t.Context(), []section{s}, []server{{Name: "it", Command: self(t, "server")}})
	if err != nil || len(rows) != 2 || rows[0].Error+rows[1].Error != "" {
		t.Fatalf("got %+v, %v, want two rows", rows, err)
	}
	got, err := os.ReadFile(file)
	if want := "idle 3000 20ms\necho1 1000 10ms\necho1 3000 20ms\n"; err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

// TestSettle waits for a process that has nothing to do.
func TestSettle(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("over")
	cancel(cause)
	if err := settle(ctx, os.Getpid()); !errors.Is(err, cause) {
		t.Errorf("got %v for a context that is over, want its cause", err)
	}
	p, err := start(self(t, "server"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop(10 * time.Second)
	if err := p.ready(t.Context(), 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if err := settle(t.Context(), p.pid()); err != nil {
		t.Error(err)
	}
	if processTime(p.pid()) <= 0 {
		t.Error("the process has used no CPU time")
	}
}
