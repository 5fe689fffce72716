package docs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestGoBlocksCompile(t *testing.T) {
	var files []source
	for _, p := range pages(t, root) {
		var shared declarations
		for _, b := range p.blocks {
			if b.language != "go" {
				continue
			}
			src, err := complete(b, &shared)
			if err != nil {
				t.Errorf("%s:%d: %v", p.path, b.line, err)
				continue
			}
			if formatted, err := format.Source([]byte(b.text)); err != nil || string(formatted) != b.text {
				t.Errorf("%s:%d: not formatted with gofmt (%v), want\n%s", p.path, b.line, err, formatted)
			}
			files = append(files, source{fmt.Sprintf("%s:%d", p.path, b.line), src})
		}
	}
	if len(files) == 0 {
		t.Fatal("no blocks of Go found")
	}
	c := newChecker(t, files)
	for _, f := range files {
		for _, err := range c.check(f) {
			t.Errorf("%s: %v", f.name, err)
		}
	}
	t.Logf("%d blocks compiled", len(files))
}

// The checker refuses what the compiler would.
func TestGoBlocksThatDoNotCompile(t *testing.T) {
	tests := []struct{ page, want string }{
		{"```go\nn := 1\n```\n", "declared and not used: n"},
		{"```go\nsrv.NoSuchMethod()\n```\n", "NoSuchMethod"},
		{"```go\nsio.On(srv, \"a\", 1)\n```\n", "cannot infer T"},
		{"```go\nreturn 1\n```\n", "cannot use 1"},
		{"```go\npackage main\n\nimport \"fmt\"\n\nfunc main() {}\n```\n", "imported and not used"},
		{"```go\nnobody.Knows()\n```\n", "undefined: nobody"},
		{"```go\ntype Say struct{}\n```\n\n```go\nvar x Say = 1\n_ = x\n```\n", "cannot use 1"},

		{"```go\nsrv.Emit(\"a\", 1)\n```\n", ""},
		{"```go\nif err := srv.Emit(\"a\"); err != nil {\n\treturn err\n}\n```\n", ""},
		{"<!-- go: var db *sql.DB -->\n```go\n_ = db.Ping()\n```\n", ""},
		{"```go\ntype Say struct{ A int }\n\nfunc (s Say) B() int { return s.A }\n```\n\n```go\n_ = Say{}.B()\n```\n", ""},
		{"```go\ntype Say struct{ A int }\n```\n\n```go\ntype Say struct{ B int }\n\n_ = Say{B: 1}\n```\n", ""},
		{"```go\nfor range srv.Sockets() {\n}\n```\n", ""},
	}
	var files []source
	for i, test := range tests {
		var shared declarations
		for _, b := range blocks(test.page) {
			src, err := complete(b, &shared)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, source{fmt.Sprint(i), src})
		}
	}
	c := newChecker(t, files)
	got := map[string][]error{}
	for _, f := range files {
		got[f.name] = append(got[f.name], c.check(f)...)
	}
	for i, test := range tests {
		text := fmt.Sprint(errors.Join(got[fmt.Sprint(i)]...))
		if test.want == "" && len(got[fmt.Sprint(i)]) > 0 || !strings.Contains(text, test.want) {
			t.Errorf("%s\ngot %s, want %q", test.page, text, test.want)
		}
	}
}

// A source is a block that has been made a file, with the place it came from.
type source struct{ name, text string }

// declarations are those of the earlier fragments of a page, the newest last.
type declarations []string

// complete makes a file of a block.
func complete(b block, shared *declarations) (string, error) {
	if strings.HasPrefix(b.text, "package ") || strings.HasPrefix(b.text, "//") && strings.Contains(b.text, "\npackage ") {
		return b.text, nil
	}
	decls, body := split(b.text)
	var file strings.Builder
	names := map[string]bool{}
	if b.given != "" {
		decls = append(decls, b.given)
	}
	for _, d := range slices.Backward(append(slices.Clone(*shared), decls...)) {
		name := declared(d)
		if name != "" && names[name] {
			continue // a later fragment declares it anew
		}
		names[name] = true
		file.WriteString(d + "\n")
	}
	*shared = append(*shared, decls...)
	result, end := "", ""
	if returnsError(body) {
		result, end = "error", "return nil"
	}
	fmt.Fprintf(&file, "func _(%s) %s {\n{\n%s}\n%s\n}\n", prelude, result, body, end)
	return "package page\n" + importsFor(file.String()) + file.String(), nil
}

var atMargin = regexp.MustCompile(`^(func [A-Za-z]|func \(\w+ \*?\w+(\[\w+\])?\) |type \w)`)

// split separates the declarations at the left margin from the statements.
func split(text string) (decls []string, body string) {
	var decl strings.Builder
	for line := range strings.SplitAfterSeq(text, "\n") {
		switch {
		case decl.Len() > 0:
			decl.WriteString(line)
			if strings.HasPrefix(line, "}") || strings.HasPrefix(line, ")") {
				decls = append(decls, decl.String())
				decl.Reset()
			}
		case atMargin.MatchString(line):
			decl.WriteString(line)
			if complete := strings.TrimRight(line, "\n"); !strings.HasSuffix(complete, "{") && !strings.HasSuffix(complete, "(") {
				decls = append(decls, decl.String())
				decl.Reset()
			}
		default:
			body += line
		}
	}
	if decl.Len() > 0 {
		decls = append(decls, decl.String())
	}
	return decls, body
}

// declared returns what a declaration declares, "Type.Method" for a method.
func declared(decl string) string {
	file, err := parser.ParseFile(token.NewFileSet(), "", "package page\n"+decl, parser.SkipObjectResolution)
	if err != nil || len(file.Decls) == 0 {
		return ""
	}
	switch d := file.Decls[0].(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			return d.Name.Name
		}
		return types.ExprString(d.Recv.List[0].Type) + "." + d.Name.Name
	case *ast.GenDecl:
		switch spec := d.Specs[0].(type) {
		case *ast.TypeSpec:
			return spec.Name.Name
		case *ast.ValueSpec:
			return spec.Names[0].Name
		}
	}
	return ""
}

// returnsError reports whether statements return a value themselves, not only in functions within them.
func returnsError(body string) bool {
	file, err := parser.ParseFile(token.NewFileSet(), "", "package page\nfunc _() {\n"+body+"}\n", parser.SkipObjectResolution)
	if err != nil {
		return false
	}
	found := false
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.ReturnStmt:
			found = found || len(n.Results) > 0
		}
		return true
	})
	return found
}

// importsFor returns the imports a file without any needs.
func importsFor(text string) string {
	file, err := parser.ParseFile(token.NewFileSet(), "", "package page\n"+text, parser.SkipObjectResolution)
	if err != nil {
		return "" // the checker says what is wrong
	}
	used := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := sel.X.(*ast.Ident); ok && packages[id.Name] != "" {
				used[id.Name] = true
			}
		}
		return true
	})
	var lines strings.Builder
	for _, name := range slices.Sorted(maps.Keys(used)) {
		fmt.Fprintf(&lines, "import %s %q\n", name, packages[name])
	}
	return lines.String()
}

// checker type-checks files against the export data of what they import, which the go command has in its build cache.
type checker struct {
	fset *token.FileSet
	imp  types.Importer
}

func newChecker(t *testing.T, files []source) *checker {
	fset := token.NewFileSet()
	wanted := map[string]bool{}
	for _, f := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), "", f.text, parser.ImportsOnly)
		if err != nil {
			continue
		}
		for _, spec := range parsed.Imports {
			wanted[strings.Trim(spec.Path.Value, `"`)] = true
		}
	}
	cmd := exec.Command("go", append([]string{"list", "-e", "-export", "-deps", "-json=ImportPath,Export"}, slices.Sorted(maps.Keys(wanted))...)...)
	cmd.Dir = root
	var failure bytes.Buffer
	cmd.Stderr = &failure
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, failure.Bytes())
	}
	exports := map[string]string{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ ImportPath, Export string }
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
	}
	return &checker{fset, importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("no package %s", path)
		}
		return os.Open(exports[path])
	})}
}

// check returns what the compiler would say. Lines count from the beginning of the block.
func (c *checker) check(f source) []error {
	text := f.text
	if at := strings.Index(text, "{\n{\n"); at >= 0 { // a fragment: its body begins here
		text = text[:at] + "{\n{\n//line block:1\n" + text[at+len("{\n{\n"):]
	}
	file, err := parser.ParseFile(c.fset, "block", text, parser.SkipObjectResolution)
	if err != nil {
		return []error{err}
	}
	var found []error
	conf := types.Config{Importer: c.imp, Error: func(err error) { found = append(found, err) }}
	_, _ = conf.Check("page", c.fset, []*ast.File{file}, nil)
	return found
}
