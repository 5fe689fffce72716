package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// server is one of those compared.
type server struct {
	Name     string   `json:"name"` // in rows
	Label    string   `json:"label"`
	Protocol string   `json:"protocol"` // bench-load's: socketio, msgpack or plain
	Version  string   `json:"version,omitempty"`
	Command  []string `json:"command"` // without the address
	// Debug says that it takes -pprof and tells its allocations there.
	Debug bool `json:"debug,omitempty"`
}

// section is one set of works for some servers.
type section struct {
	Name    string   `json:"name"`
	Servers []string `json:"servers"`
	Clients int      `json:"clients"`
	Payload int      `json:"payload"` // bytes
	// Groups are lists of works. Each is measured on all servers, one after the
	// other, before the next; a server is started fresh for each.
	Groups [][]string    `json:"groups"`
	Rounds int           `json:"rounds"`
	Time   time.Duration `json:"time"` // of one work, ns
	// Warm is how long each work is done before, without being measured: compilers
	// that work at run time, pools and the like find their form then. A group that asks
	// for memory at rest starts cold.
	Warm time.Duration `json:"warm"`
}

// Names of the sections.
const (
	mainSection    = "main"
	moreSection    = "more"
	pollingSection = "polling"
	scaleSection   = "scale"
	largeRoom      = "large room"
	payload1K      = "payloads of 1 KiB"
	payload16K     = "payloads of 16 KiB"
)

// Names of the servers the report knows.
const (
	floor = "floor"
	epio  = "epio"
	node  = "node"
)

// rowsOf returns the works that bench-load reports when it is asked for one.
func rowsOf(work string) []string {
	if work == "slow" {
		return []string{"paced", "slow"}
	}
	return []string{work}
}

// plan returns what is measured. The limit is that of open files per process.
func plan(quick bool, limit uint64) (sections []section, notes []string) {
	all := []string{
		floor, epio, node, "rival", "node-ws", "gorilla", "coder", "gws",
		"epio-http", "epio-netpoll", "epio-portable", "epio-msgpack", "node-msgpack",
	}
	some := []string{floor, epio, node, "rival"}
	rooms := [][]string{{"room100-bcast1", "room100-bcast16", "bcast1", "bcast16", "bin16"}}
	basic := [][]string{{"idle"}, {"connect", "bcast1", "bcast16"}, {"connect", "echo64"}}
	scale := [][]string{{"idle"}, {"connect", "bcast1", "bcast16", "echo64"}}
	sizes := []int{1000, 5000, 15000}
	if quick {
		sections = []section{
			{Name: mainSection, Servers: all[:8], Clients: 1000, Groups: basic, Rounds: 1, Time: 500 * time.Millisecond},
			{Name: moreSection, Servers: some[:3], Clients: 1000, Groups: [][]string{{"slow"}}, Rounds: 1, Time: time.Second},
		}
		sizes = sizes[:2]
	} else {
		sections = []section{
			{Name: mainSection, Servers: all, Clients: 1000, Groups: basic, Rounds: 3, Time: time.Second},
			{Name: moreSection, Servers: some, Clients: 1000, Groups: [][]string{
				{"echo1", "echo1000"}, {"room10-bcast1", "room100-bcast1", "room100-bcast16", "bin16"}, {"rooms"}, {"churn"}, {"slow"},
			}, Rounds: 2, Time: time.Second},
			{Name: pollingSection, Servers: []string{epio, "epio-http", node, "rival"}, Clients: 200, Groups: [][]string{{"poll", "upgrade"}}, Rounds: 3, Time: time.Second},
			{Name: payload1K, Servers: some[:3], Clients: 1000, Payload: 1 << 10, Groups: rooms, Rounds: 2, Time: time.Second},
			{Name: payload16K, Servers: some[:3], Clients: 1000, Payload: 16 << 10, Groups: rooms, Rounds: 2, Time: time.Second},
			{Name: largeRoom, Servers: some[:3], Clients: 10_000, Groups: [][]string{{"room10000-bcast1", "room10000-bcast16"}}, Rounds: 2, Time: time.Second},
		}
	}
	for _, n := range sizes {
		s := section{Name: scaleSection, Servers: some[:3], Clients: n, Groups: scale, Rounds: 2, Time: time.Second}
		if quick {
			s.Groups, s.Rounds, s.Time = scale[1:], 1, 500*time.Millisecond
		}
		sections = append(sections, s)
	}
	// Both sides of a connection are a file, in different processes, beside a few others.
	const others = 200
	fit := sections[:0]
	for _, s := range sections {
		if s.Payload == 0 {
			s.Payload = 64
		}
		s.Warm = min(s.Time/2, 400*time.Millisecond)
		if uint64(s.Clients+others) > limit {
			notes = append(notes, fmt.Sprintf("%s with %s clients is left out: a process may open only %s files (ulimit -n)", s.Name, thousands(s.Clients), thousands(int(limit))))
			continue
		}
		fit = append(fit, s)
	}
	return fit, notes
}

// has reports whether a work is among those of a section.
func (s section) has(work string) bool {
	return slices.ContainsFunc(s.Groups, func(works []string) bool { return slices.Contains(works, work) })
}

// warms reports whether the servers are warmed up before a group of works.
func (s section) warms(works []string) bool {
	return s.Warm > 0 && !slices.Contains(works, "idle")
}

// duration estimates how long the sections take.
func duration(sections []section, servers []server) time.Duration {
	var total time.Duration
	for _, s := range sections {
		for _, name := range s.Servers {
			if _, ok := find(servers, name); !ok {
				continue
			}
			for _, works := range s.Groups {
				visit := 300*time.Millisecond + time.Duration(s.Clients)*300*time.Microsecond // start, connect, stop
				var each time.Duration
				if s.warms(works) {
					visit += 400 * time.Millisecond
					each = s.Warm
				}
				for _, work := range works {
					if work != "connect" {
						visit += time.Duration(len(rowsOf(work))) * (s.Time + each)
					}
				}
				total += time.Duration(s.Rounds) * visit
			}
		}
	}
	return total
}

func find(servers []server, name string) (server, bool) {
	for _, s := range servers {
		if s.Name == name {
			return s, true
		}
	}
	return server{}, false
}

// servers returns the servers that can be started, and why the others cannot. Programs
// are looked for in bin and the Node servers in nodeDir.
func servers(bin, nodeDir string) (found []server, notes []string) {
	program := func(name, label, protocol, program, module string, args ...string) {
		path := filepath.Join(bin, program)
		usage, err := ask(path)
		if err != nil {
			notes = append(notes, fmt.Sprintf("%s is left out: %v", name, err))
			return
		}
		for _, arg := range args {
			if strings.HasPrefix(arg, "-") && !hasFlag(usage, arg) {
				notes = append(notes, fmt.Sprintf("%s is left out: %s has no %s", name, program, arg))
				return
			}
		}
		found = append(found, server{
			Name: name, Label: label, Protocol: protocol, Version: moduleVersion(path, module),
			Command: append([]string{path}, args...), Debug: hasFlag(usage, "-pprof"),
		})
	}
	program(floor, "floor (bare epoll)", "socketio", "bench-floor", "")
	program(epio, "epio", "socketio", "bench-server", "")
	program("epio-http", "epio behind net/http", "socketio", "bench-server", "", "-door", "http")
	program("epio-netpoll", "epio on netpoll", "socketio", "bench-server", "github.com/cloudwego/netpoll", "-netpoll")
	program("epio-portable", "epio on goroutines", "socketio", "bench-server", "", "-portable")
	program("epio-msgpack", "epio, msgpack", "msgpack", "bench-server", "", "-msgpack")
	program("rival", "zishang520/socket.io", "socketio", "bench-refs-rival", "github.com/zishang520/socket.io/servers/socket/v3")
	program("gorilla", "gorilla/websocket", "plain", "bench-refs-gorilla", "github.com/gorilla/websocket")
	program("coder", "coder/websocket", "plain", "bench-refs-coder", "github.com/coder/websocket")
	program("gws", "lxzan/gws", "plain", "bench-refs-gws", "github.com/lxzan/gws")

	nodePath, err := exec.LookPath("node")
	if err != nil {
		return found, append(notes, "the Node servers are left out: node is not installed")
	}
	script := func(name, label, protocol, file, pack string, args ...string) {
		path := filepath.Join(nodeDir, file)
		source, err := os.ReadFile(path)
		if err != nil {
			notes = append(notes, fmt.Sprintf("%s is left out: %v", name, err))
			return
		}
		for _, arg := range args {
			if !bytes.Contains(source, []byte(arg)) {
				notes = append(notes, fmt.Sprintf("%s is left out: %s has no %s", name, file, arg))
				return
			}
		}
		version, err := packageVersion(nodeDir, pack)
		if err != nil {
			notes = append(notes, fmt.Sprintf("%s is left out: the npm package %s is not installed", name, pack))
			return
		}
		found = append(found, server{Name: name, Label: label, Protocol: protocol, Version: version, Command: append([]string{nodePath, path}, args...)})
	}
	script(node, "Socket.IO on Node", "socketio", "server.js", "socket.io")
	script("node-msgpack", "Node, msgpack", "msgpack", "server.js", "socket.io-msgpack-parser", "-msgpack")
	script("node-ws", "ws on Node", "plain", "ws.js", "ws")
	return found, notes
}

// ask returns what a program says about its flags.
func ask(program string) (string, error) {
	if _, err := os.Stat(program); err != nil {
		return "", fmt.Errorf("no program %s: run scripts/build", program)
	}
	cmd := exec.Command(program, "-h") // Go programs end with status 0 or 2 then
	cmd.WaitDelay = time.Second
	out, _ := cmd.CombinedOutput()
	return string(out), nil
}

// hasFlag reports whether the usage text of package flag has a line for a flag.
func hasFlag(usage, flag string) bool {
	for line := range strings.Lines(usage) {
		if f := strings.Fields(line); len(f) > 0 && f[0] == flag {
			return true
		}
	}
	return false
}

// moduleVersion returns the version of a module that a Go program was built with.
func moduleVersion(program, module string) string {
	info, err := buildinfo.ReadFile(program)
	if err != nil || module == "" {
		return ""
	}
	for _, dep := range info.Deps {
		if dep.Path == module {
			return dep.Version
		}
	}
	return ""
}

func packageVersion(dir, name string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, "node_modules", name, "package.json"))
	if err != nil {
		return "", err
	}
	var p struct{ Version string }
	err = json.Unmarshal(b, &p)
	return p.Version, err
}
