package wallclock

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The wall clock may be read here, and why.
var allowed = map[string]string{
	"sio/info.go: handshakeInfo: UTC":                       "when a client connected, for people to read",
	"sio/info.go: handshakeInfo: UnixMilli":                 "the same, for Node servers",
	"eio/polling_post.go: servePost: time.Unix":             "a deadline that has always passed",
	"codec/msgpack_rewrite.go: mpAppendDate: UnixMilli":     "the application's values",
	"codec/msgpack_token.go: time: time.Unix":               "the application's values",
	"codec/msgpack_token.go: time: time.UnixMilli":          "the application's values",
	"codec/msgpack_token.go: time: UTC":                     "the application's values",
	"codec/msgpack_decode_method.go: mpSetTime: time.Parse": "the application's values",
	"internal/herd/flock_linux.go: Leave: UnixNano":         "for tests: tells another process of this machine a time",
	"internal/herd/flock_linux.go: flockMain: time.Unix":    "the same, on the other side",
	"adapter/nats/jetstream.go: epochOf: UnixNano":          "names a stream; the broker's clock, compared for equality only",
}

// Methods of time.Time that lose the monotonic clock, and functions that make a time without one. Local, In and Equal are
// left out: without types they cannot be told from others of the name.
var (
	methods   = []string{"Unix", "UnixMilli", "UnixMicro", "UnixNano", "UTC", "Round", "Truncate", "AddDate"}
	functions = []string{"Unix", "UnixMilli", "UnixMicro", "Date", "Parse", "ParseInLocation"}
)

func TestWallClock(t *testing.T) {
	root := filepath.Join("..", "..")
	found := make(map[string]bool)
	for _, folder := range []string{"sio", "eio", "engine", "adapter", "codec", "pool", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			name, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			for _, use := range uses(file) {
				found[filepath.ToSlash(name)+": "+use] = true
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for use := range found {
		if allowed[use] == "" {
			t.Errorf("%s: loses the monotonic clock; say why that is right, or do without", use)
		}
	}
	for use := range allowed {
		if !found[use] {
			t.Errorf("%s: allowed, and not there", use)
		}
	}
}

// uses returns what a file does to times, with the function it is in.
func uses(file *ast.File) (all []string) {
	for _, d := range file.Decls {
		where := "package"
		if f, ok := d.(*ast.FuncDecl); ok {
			where = f.Name.Name
		}
		ast.Inspect(d, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if of, ok := sel.X.(*ast.Ident); ok && of.Name == "time" {
				if slices.Contains(functions, sel.Sel.Name) {
					all = append(all, fmt.Sprintf("%s: time.%s", where, sel.Sel.Name))
				}
			} else if slices.Contains(methods, sel.Sel.Name) {
				all = append(all, where+": "+sel.Sel.Name)
			}
			return true
		})
	}
	return all
}

func TestUses(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "x.go", `package x
		var started = time.Now().Unix()
		func f(a time.Time) { _ = time.Since(time.Unix(0, a.UnixNano())); time.Now().Sub(a); b.Round(0) }`, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"package: Unix", "f: time.Unix", "f: UnixNano", "f: Round"}
	if got := uses(file); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
