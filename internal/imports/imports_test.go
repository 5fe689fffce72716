package imports

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	slashpath "path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/epio-go/epio"

// Rules for one folder. Folders are relative to the repository; "x/..." covers x and what is below it, and the longest
// pattern that covers a folder is the one that counts.
type rule struct {
	folder string
	// own lists the folders of this repository it may import, besides those below its own pattern.
	own []string
	// never lists import paths from elsewhere it must not import, each with everything below it.
	never []string
}

const (
	netHTTP = "net/http"
	netpoll = "github.com/cloudwego/netpoll"
	sonic   = "github.com/bytedance/sonic"
	quicGo  = "github.com/quic-go"
)

var rules = []rule{
	{folder: "internal/...", own: []string{"internal/...", "pool"}, never: []string{netpoll, sonic, netHTTP}},
	{folder: "pool/...", own: []string{"internal/invariants"}, never: []string{netpoll, sonic, netHTTP, "net"}},
	{folder: "codec/...", own: []string{"internal/...", "pool"}, never: []string{netpoll, netHTTP, "net"}},
	{folder: "engine/...", own: []string{"internal/...", "pool"}, never: []string{sonic, netHTTP}},
	{folder: "eio/...", own: []string{"internal/...", "pool", "codec/...", "engine"}, never: []string{netpoll, sonic, quicGo}},
	{folder: "eio/webtransport/...", own: []string{"eio"}, never: []string{netpoll, sonic}},
	{folder: "adapter/...", own: []string{"internal/...", "pool", "codec/..."}, never: []string{netpoll, sonic, netHTTP}},
	{folder: "sio/...", own: []string{"internal/...", "pool", "codec/...", "engine", "eio", "adapter"}, never: []string{netpoll, sonic}},

	// Programs and what drives the packages from outside. The repository's root holds no package.
	{folder: "bench/...", own: []string{"..."}},
	{folder: "examples/...", own: []string{"..."}, never: []string{netpoll, sonic}},
	{folder: "fuzz/...", own: []string{"..."}, never: []string{netpoll}},
	{folder: "test/...", own: []string{"..."}, never: []string{netpoll, sonic}},
	{folder: "tools/...", never: []string{netpoll, sonic}},
}

func TestRules(t *testing.T) {
	found := imports(t, filepath.Join("..", ".."))
	if len(found) == 0 {
		t.Fatal("no Go files found")
	}
	for _, f := range found {
		if err := check(f.folder, f.path); err != nil {
			t.Errorf("%s: %v", f.file, err)
		}
	}
}

// TestCheck breaks the rules on purpose.
func TestCheck(t *testing.T) {
	tests := []struct {
		folder, path string
		ok           bool
	}{
		{"pool", module + "/internal/invariants", true},
		{"pool", module + "/internal/memconn", false},
		{"pool", module + "/codec", false},
		{"codec", module + "/pool", true},
		{"codec", module + "/codec/msgpack", true},
		{"codec/msgpack", module + "/codec", true},
		{"codec", sonic, true},
		{"codec", sonic + "/decoder", true},
		{"codec", "net/http", false},
		{"codec", module + "/engine", false},
		{"engine", netpoll, true},
		{"engine", module + "/pool", true},
		{"engine", module + "/codec", false},
		{"engine", "net", true},
		{"engine", "net/http", false},
		{"engine", "net/http/httptest", false},
		{"eio", module + "/engine", true},
		{"eio", "net/http", true},
		{"eio", netpoll, false},
		{"eio", sonic, false},
		{"eio", module + "/sio", false},
		{"eio", quicGo + "/quic-go", false},
		{"eio/webtransport", quicGo + "/quic-go/http3", true},
		{"eio/webtransport", module + "/eio", true},
		{"eio/webtransport", module + "/engine", false},
		{"sio", module + "/eio/webtransport", false},
		{"adapter", module + "/codec", true},
		{"adapter", module + "/adapter/contract", true},
		{"adapter/redis", module + "/adapter", true},
		{"adapter/redis", module + "/sio", false},
		{"adapter/redis/emitter", module + "/eio", false},
		{"adapter", module + "/engine", false},
		{"sio", module + "/adapter", true},
		{"sio", module + "/adapter/redis", false},
		{"sio", module + "/eio", true},
		{"sio", sonic, false},
		{"sio", "fmt", true},
		{"examples/chat", module + "/sio", true},
		{"bench/server", netpoll, true},
		{"newfolder", "fmt", false},
		{"internal/memconn", module + "/eio", false},
		// Only whole path elements count.
		{"codec", "network", true},
		{"sio", module + "/adapterx", false},
	}
	for _, test := range tests {
		if err := check(test.folder, test.path); (err == nil) != test.ok {
			t.Errorf("%s importing %s: got %v, want ok = %t", test.folder, test.path, err, test.ok)
		}
	}
}

// check reports whether a package in folder may import path.
func check(folder, path string) error {
	var best *rule
	for i, r := range rules {
		if covers(r.folder, folder) && (best == nil || len(r.folder) > len(best.folder)) {
			best = &rules[i]
		}
	}
	if best == nil {
		return fmt.Errorf("folder %s has no rule", folder)
	}
	for _, n := range best.never {
		if covers(n+"/...", path) {
			// "net" forbids the sockets, not the parsers of addresses.
			if n == "net" && (path == "net/netip" || path == "net/url") {
				continue
			}
			return fmt.Errorf("%s must not import %s", folder, path)
		}
	}
	if !covers(module+"/...", path) {
		return nil
	}
	own := strings.TrimPrefix(strings.TrimPrefix(path, module), "/")
	if covers(best.folder, own) || slices.ContainsFunc(best.own, func(p string) bool { return covers(p, own) }) {
		return nil
	}
	return fmt.Errorf("%s must not import %s", folder, own)
}

// covers reports whether path is pattern, or, when pattern ends in "...", lies below it.
func covers(pattern, path string) bool {
	if pattern == "..." {
		return true
	}
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return path == base || strings.HasPrefix(path, base+"/")
	}
	return path == pattern
}

// An imported path, with the file and the folder that import it.
type imported struct {
	file, folder, path string
}

// imports reads the import clauses of all Go files below root, whatever their build tags and whichever module they belong
// to, except tests: those may use anything.
func imports(t *testing.T, root string) []imported {
	var found []imported
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules" || name == "bin") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		file = filepath.ToSlash(file)
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range parsed.Imports {
			p, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			found = append(found, imported{file: file, folder: slashpath.Dir(file), path: p})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
