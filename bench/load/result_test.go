package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"
)

func TestMallocs(t *testing.T) {
	const each, work = 100, 5000
	mallocs := 0
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mallocs += each
		fmt.Fprintf(w, `{"mallocs":%d}`, mallocs)
	}))
	defer web.Close()
	l := &load{o: options{mallocs: web.URL}, start: time.Now()}
	if err := l.calibrate(); err != nil {
		t.Fatal(err)
	}
	m, err := l.meter()
	if err != nil {
		t.Fatal(err)
	}
	mallocs += work
	r, err := m.result("echo", 1000)
	if err != nil || r.Allocs == nil || *r.Allocs != 5 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestMeter(t *testing.T) {
	l := &load{o: options{pid: os.Getpid()}, start: time.Now()}
	m, err := l.meter()
	if err != nil {
		t.Fatal(err)
	}
	const work = 20 * time.Millisecond
	for {
		cpu, err := l.cpu()
		if err != nil {
			t.Fatal(err)
		}
		if cpu-m.cpu > work {
			break
		}
	}
	r, err := m.result("echo", 1000)
	if err != nil {
		t.Fatal(err)
	}
	if r.CPU < 20 || r.Busy <= 0 || r.Rate <= 0 || r.Allocs != nil {
		t.Errorf("%+v", r)
	}
	if n, err := l.resident(); err != nil || n < 1<<20 {
		t.Errorf("%d bytes, %v", n, err)
	}

	l.o.pid = 1 << 22 // beyond the greatest one Linux gives
	if _, err := l.cpu(); err == nil {
		t.Error("CPU time of a process that does not exist")
	}
	if _, err := l.resident(); err == nil {
		t.Error("memory of a process that does not exist")
	}
}

// What the rows look like is agreed with those who read them.
func TestRow(t *testing.T) {
	r := result{Work: "bcast16", Clients: 1000, Payload: 64, Unit: "delivery", Units: 123, CPU: 4.2, Rate: 230, P50: 1, P99: 2, P999: 3, Max: 4, Resident: 5, Allocs: new(0.0)}
	for _, test := range []struct {
		r    result
		want string
	}{
		{r, `{"work":"bcast16","clients":1000,"payload":64,"unit":"delivery","units":123,"cpu_us":4.2,"per_second":230,"p50_us":1,"p99_us":2,"p999_us":3,"max_us":4,"rss_bytes":5,"allocs":0}`},
		{result{Work: "echo1", Clients: 1, Payload: 64, Error: "broken"}, `{"work":"echo1","clients":1,"payload":64,"units":0,"cpu_us":0,"per_second":0,"error":"broken"}`},
	} {
		b, err := json.Marshal(test.r)
		if err != nil || string(b) != test.want {
			t.Errorf("%s, %v, want %s", b, err, test.want)
		}
	}
}
