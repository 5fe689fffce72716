package sio

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestLoggingIsDocumented compares all log calls of sio, eio and engine with the table in
// docs/operations.md: level, message and keys.
func TestLoggingIsDocumented(t *testing.T) {
	documented := loggingTable(t)
	found := make(map[string]bool)
	for _, dir := range []string{".", "../eio", "../engine"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		must(t, err)
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, name, nil, 0)
			must(t, err)
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				level, msg, keys := logCall(call)
				if msg == "" {
					return true
				}
				found[msg] = true
				row, ok := documented[msg]
				if !ok {
					t.Errorf("%s: %q is not documented", fset.Position(call.Pos()), msg)
					return true
				}
				if level != "log" && !slices.Contains(row.levels, level) {
					t.Errorf("%s: %q is logged as %s, documented as %q", fset.Position(call.Pos()), msg, level, row.levels)
				}
				if keys != nil && !slices.Equal(keys, row.keys) {
					t.Errorf("%s: %q has the keys %q, documented are %q", fset.Position(call.Pos()), msg, keys, row.keys)
				}
				return true
			})
		}
	}
	if len(found) < 20 {
		t.Errorf("only %d messages were found: %q", len(found), slices.Sorted(maps.Keys(found)))
	}
	made := composed(t)
	for msg := range documented {
		if !found[msg] && !slices.Contains(made, msg) {
			t.Errorf("%q is documented and not in the code", msg)
		}
	}
	for _, msg := range made {
		if _, ok := documented[msg]; !ok {
			t.Errorf("%q is not documented", msg)
		}
	}
}

// composed returns the messages that protect and faulted make of their argument.
func composed(t *testing.T) (all []string) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	must(t, err)
	call := regexp.MustCompile(`\.(?:protect|faulted)\("([^"]+)"`)
	for _, name := range files {
		b, err := os.ReadFile(name)
		must(t, err)
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, m := range call.FindAllStringSubmatch(string(b), -1) {
			all = append(all, fmt.Sprintf("sio: %s failed", m[1]))
		}
	}
	return all
}

// logCall returns what a call logs, "" if nothing. keys is nil if they are not all written out.
func logCall(call *ast.CallExpr) (level, msg string, keys []string) {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return "", "", nil
	}
	level = strings.ToLower(sel.Sel.Name)
	if !slices.Contains([]string{"debug", "info", "warn", "error", "log"}, level) {
		return "", "", nil
	}
	at := slices.IndexFunc(call.Args, func(e ast.Expr) bool {
		s := literal(e)
		return strings.HasPrefix(s, "sio: ") || strings.HasPrefix(s, "eio: ") || strings.HasPrefix(s, "engine: ")
	})
	if at < 0 {
		return "", "", nil
	}
	msg = literal(call.Args[at])
	if call.Ellipsis != token.NoPos {
		return level, msg, nil
	}
	keys = []string{}
	for i := at + 1; i < len(call.Args); i += 2 {
		keys = append(keys, literal(call.Args[i]))
	}
	slices.Sort(keys)
	return level, msg, keys
}

func literal(e ast.Expr) string {
	if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
		if s, err := strconv.Unquote(lit.Value); err == nil {
			return s
		}
	}
	return ""
}

type loggingRow struct{ levels, keys []string }

// loggingTable reads the table.
func loggingTable(t *testing.T) map[string]loggingRow {
	t.Helper()
	b, err := os.ReadFile("../docs/operations.md")
	must(t, err)
	quoted := regexp.MustCompile("`((?:sio|eio|engine): [^`]+)`")
	table := make(map[string]loggingRow)
	for line := range strings.Lines(string(b)) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 {
			continue
		}
		for _, m := range quoted.FindAllStringSubmatch(cells[2], -1) {
			keys := strings.Split(strings.TrimSpace(cells[3]), ", ")
			for i, k := range keys {
				keys[i], _, _ = strings.Cut(k, " ")
			}
			slices.Sort(keys)
			table[m[1]] = loggingRow{strings.Split(strings.TrimSpace(cells[1]), ", "), keys}
		}
	}
	return table
}
