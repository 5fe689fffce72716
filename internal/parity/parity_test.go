package parity

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var root = filepath.Join("..", "..")

// A reference to a test in the page: `sio/ack_test.go: TestCall`.
var reference = regexp.MustCompile("`([^`]*(?:_test\\.go|\\.test\\.js|\\.js: )[^`]*)`")

// The first cell of a row that has an id: | A1 | …
var rowID = regexp.MustCompile(`^\| ([A-Z])(\d+) \|`)

func TestPage(t *testing.T) {
	if last := testPage(t, "parity.md"); len(last) == 0 {
		t.Error("the page has no rows")
	}
}

// The page of limits names the test of each.
func TestLimits(t *testing.T) { testPage(t, "limits.md") }

// So does the page of faults.
func TestReliability(t *testing.T) { testPage(t, "reliability.md") }

// testPage checks that the tests exist that a page in docs names. It returns the last number of each
// section of rows with ids.
func testPage(t *testing.T, name string) map[string]int {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root, "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	tests := make(map[string]map[string]bool) // of a file
	last := make(map[string]int)              // id of a section
	for i, line := range strings.Split(string(page), "\n") {
		if m := rowID.FindStringSubmatch(line); m != nil {
			n, err := strconv.Atoi(m[2])
			if err != nil || n != last[m[1]]+1 {
				t.Errorf("line %d: %s%s follows %s%d", i+1, m[1], m[2], m[1], last[m[1]])
			}
			last[m[1]] = n
		}
		if strings.HasPrefix(line, "|") && strings.Count(line, "|") != strings.Count(heading(string(page), i), "|") {
			t.Errorf("line %d: not as many cells as the table has columns", i+1)
		}
		cells := strings.Split(strings.Trim(line, "| "), "|")
		if shown := strings.TrimSpace(cells[len(cells)-1]); strings.HasPrefix(line, "|") && (shown == "" || shown == "–") {
			t.Errorf("line %d: neither a test nor a reason", i+1)
		}
		for _, m := range reference.FindAllStringSubmatch(line, -1) {
			file, name, ok := strings.Cut(m[1], ": ")
			if !ok {
				t.Errorf("line %d: %q names no test", i+1, m[1])
				continue
			}
			if tests[file] == nil {
				if tests[file], err = names(filepath.Join(root, filepath.FromSlash(file))); err != nil {
					t.Errorf("line %d: %v", i+1, err)
					continue
				}
			}
			if !tests[file][name] {
				t.Errorf("line %d: there is no test %q in %s", i+1, name, file)
			}
		}
	}
	if len(tests) == 0 {
		t.Error("the page names no tests")
	}
	return last
}

// heading returns the first line of the table that line i belongs to.
func heading(page string, i int) string {
	lines := strings.Split(page, "\n")
	for i > 0 && strings.HasPrefix(lines[i-1], "|") {
		i--
	}
	return lines[i]
}

// names returns the tests in a file.
func names(file string) (map[string]bool, error) {
	source, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(file, ".js") {
		return titles(string(source)), nil
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), file, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	found := make(map[string]bool)
	for _, d := range parsed.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Recv != nil {
			continue
		}
		for _, prefix := range []string{"Test", "Fuzz", "Example"} {
			if strings.HasPrefix(f.Name.Name, prefix) {
				found[f.Name.Name] = true
			}
		}
	}
	return found, nil
}

var (
	// What declares a test in JavaScript: test("title", matrix(`title`, or a member of an
	// object of tests, "title": async, or of examples, "title": {.
	declared = regexp.MustCompile("(?m)\\b(?:test|describe|matrix|oldMatrix)\\(\\s*(\"(?:[^\"\\\\]|\\\\.)*\"|`[^`]*`)" +
		`|^\s*("(?:[^"\\]|\\.)*"): async\b` + `|^  ("(?:[^"\\]|\\.)*"|\w+): \{$`)
	variable = regexp.MustCompile(`\$\{[^}]*\}`)
)

// titles returns the titles of the tests in a JavaScript file. Of a title with variables
// in it, `${way}: answers`, every part between them counts as one: "answers".
func titles(source string) map[string]bool {
	found := make(map[string]bool)
	for _, m := range declared.FindAllStringSubmatch(source, -1) {
		literal := m[1] + m[2] + m[3]
		if !strings.ContainsAny(literal[:1], "\"`") {
			found[literal] = true // a name without quotes
			continue
		}
		body := literal[1 : len(literal)-1]
		if literal[0] == '"' {
			found[body] = true
			continue
		}
		for _, part := range variable.Split(body, -1) {
			if part = strings.Trim(part, " :,"); part != "" {
				found[part] = true
			}
		}
	}
	return found
}

func TestTitles(t *testing.T) {
	got := titles(strings.Join([]string{
		`test("a plain one", async () => {`,
		`  test("it's \"quoted\"", () => {});`,
		"describe(`${door}: inside ${engine}`, () => {",
		"  await t.test(`quick`, f);",
		"  matrix(\n\"next line\",",
		`  "of an object": async (cell) => {`,
		`  assert.equal(x, "no title");`,
		`  notest("neither");`,
		`  "an/example": {`,
		`  another: {`,
		`    inner: {`,
	}, "\n"))
	for _, want := range []string{"a plain one", `it's \"quoted\"`, "inside", "quick", "next line", "of an object", "an/example", "another"} {
		if !got[want] {
			t.Errorf("%q is missing", want)
		}
		delete(got, want)
	}
	if len(got) > 0 {
		t.Error(fmt.Sprint("taken for titles: ", got))
	}
}
