package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPlan(t *testing.T) {
	everything := func() (all []server) {
		sections, _ := plan(false, 1<<20)
		for _, name := range sections[0].Servers {
			all = append(all, server{Name: name})
		}
		return all
	}()
	for _, test := range []struct {
		quick bool
		most  time.Duration
	}{{false, 15 * time.Minute}, {true, 2 * time.Minute}} {
		sections, notes := plan(test.quick, 20_000)
		if d := duration(sections, everything); d <= 0 || d > test.most {
			t.Errorf("quick %t takes %v, want at most %v", test.quick, d, test.most)
		}
		if len(notes) > 0 {
			t.Errorf("quick %t leaves out %q", test.quick, notes)
		}
		for _, s := range sections {
			for _, name := range s.Servers {
				if _, ok := find(everything, name); !ok {
					t.Errorf("section %s has the server %s, which the main one does not", s.Name, name)
				}
			}
			for _, works := range s.Groups {
				for _, asked := range works {
					for _, work := range rowsOf(asked) {
						if explain(work) == work {
							t.Errorf("section %s has %s, which the report cannot explain", s.Name, work)
						}
					}
				}
			}
		}
	}
}

// TestPlanFewFiles leaves out what a process cannot open the files for, and says so.
func TestPlanFewFiles(t *testing.T) {
	sections, notes := plan(false, 4096)
	for _, s := range sections {
		if s.Clients > 4096 {
			t.Errorf("section %s has %d clients", s.Name, s.Clients)
		}
	}
	if len(notes) != 3 || !strings.Contains(notes[2], "15,000") || !strings.Contains(notes[2], "4,096 files") {
		t.Errorf("got the notes %q, want one each for 5,000, 10,000 and 15,000 clients", notes)
	}
}

// TestServers makes programs that know some flags only.
func TestServers(t *testing.T) {
	bin, scripts := t.TempDir(), t.TempDir()
	write := func(file, text string) {
		t.Helper()
		if err := writeFile(file, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(bin, "bench-floor"), "#!/bin/sh\necho '  -addr string' >&2; exit 2\n")
	write(filepath.Join(bin, "bench-server"), "#!/bin/sh\necho '  -door string\n  -portable\n  -pprof string' >&2; exit 2\n")
	write(filepath.Join(scripts, "server.js"), "")
	write(filepath.Join(scripts, "ws.js"), "")
	write(filepath.Join(scripts, "node_modules", "ws", "package.json"), `{"version":"8.0.0"}`)
	write(filepath.Join(bin, "node"), "#!/bin/sh\n")
	t.Setenv("PATH", bin+string(filepath.ListSeparator)+os.Getenv("PATH"))

	found, notes := servers(bin, scripts)
	var names []string
	for _, s := range found {
		names = append(names, s.Name)
	}
	if want := []string{floor, epio, "epio-http", "epio-portable", "node-ws"}; !slices.Equal(names, want) {
		t.Errorf("found %q, want %q", names, want)
	}
	ws, _ := find(found, "node-ws")
	if ws.Version != "8.0.0" || ws.Protocol != "plain" {
		t.Errorf("ws is %+v", ws)
	}
	if e, _ := find(found, epio); !e.Debug || e.Command[0] != filepath.Join(bin, "bench-server") {
		t.Errorf("epio is %+v", e)
	}
	if f, _ := find(found, floor); f.Debug {
		t.Error("the floor has no -pprof")
	}
	all := strings.Join(notes, "\n")
	for _, want := range []string{
		"epio-msgpack is left out: bench-server has no -msgpack",
		"gorilla is left out: no program " + filepath.Join(bin, "bench-refs-gorilla"),
		"node is left out: the npm package socket.io is not installed",
		"node-msgpack is left out: server.js has no -msgpack",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("the notes do not say %q:\n%s", want, all)
		}
	}

	t.Setenv("PATH", t.TempDir())
	if _, notes = servers(bin, scripts); !slices.Contains(notes, "the Node servers are left out: node is not installed") {
		t.Errorf("without Node the notes are %q", notes)
	}
}

func TestPick(t *testing.T) {
	all := []server{{Name: "a"}, {Name: "b"}, {Name: "c"}}
	for names, want := range map[string]string{"": "a b c", "b": "b", "c,a": "c a"} {
		picked, err := pick(all, names)
		var got []string
		for _, s := range picked {
			got = append(got, s.Name)
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q: got %q, %v, want %s", names, got, err, want)
		}
	}
	for _, names := range []string{"d", "a,", ",", "a b"} {
		if got, err := pick(all, names); err == nil || !strings.Contains(err.Error(), "a, b, c") {
			t.Errorf("%q: got %+v, %v, want an error that lists the servers", names, got, err)
		}
	}
}
