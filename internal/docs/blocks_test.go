package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	module = "github.com/epio-go/epio"
	root   = "../.."
)

// A page is one Markdown file, with its path relative to the repository.
type page struct {
	path   string
	text   string
	blocks []block
}

// A block is one fenced block of a page.
type block struct {
	line     int // of the page, of the first line in the block
	language string
	given    string // what the comment above it declares
	text     string
}

// pages reads every page below dir that users or contributors read.
func pages(t *testing.T, dir string) []page {
	var found []page
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != dir && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules" || name == "bin" || name == "out") {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		found = append(found, page{filepath.ToSlash(rel), string(text), blocks(string(text))})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

var fence = regexp.MustCompile("^```([a-z]*)$")

// blocks cuts the fenced blocks from a page.
func blocks(text string) []block {
	var found []block
	var open *block
	before := "" // the page up to the line
	for i, line := range strings.SplitAfter(text, "\n") {
		trimmed := strings.TrimRight(line, "\n")
		switch match := fence.FindStringSubmatch(trimmed); {
		case open == nil && match != nil:
			open = &block{line: i + 2, language: match[1]}
			if comment, ok := strings.CutSuffix(before, " -->\n"); ok {
				if at := strings.LastIndex(comment, "<!-- "); strings.HasPrefix(comment[max(at, 0):], "<!-- go: ") {
					open.given = comment[at+len("<!-- go: "):]
				}
			}
		case open != nil && trimmed == "```":
			found = append(found, *open)
			open = nil
		case open != nil:
			open.text += line
		}
		before += line
	}
	if open != nil { // never closed: reported as a block without a language
		open.language = ""
		found = append(found, *open)
	}
	return found
}

// languages are those a block may name. Blocks of js are checked by the JavaScript tests, those of nginx, haproxy and caddy by
// the proxy tests.
var languages = map[string]bool{
	"go": true, "js": true, "html": true, "sh": true, "json": true, "yaml": true, "ini": true, "text": true,
	"nginx": true, "haproxy": true, "caddy": true, "rust": true, "sql": true,
}

func TestEveryBlockNamesItsLanguage(t *testing.T) {
	for _, p := range pages(t, root) {
		for _, b := range p.blocks {
			if !languages[b.language] {
				t.Errorf("%s:%d: language %q", p.path, b.line-1, b.language)
			}
		}
	}
}

func TestBlocks(t *testing.T) {
	const text = "# T\n<!-- go: var lost int -->\n\n<!-- go: var n int -->\n```go\nn++\n```\n\ntext\n\n```sh\nls\n\nls\n```\n```go\nlost\n"
	want := []block{
		{line: 6, language: "go", given: "var n int", text: "n++\n"},
		{line: 12, language: "sh", text: "ls\n\nls\n"},
		{line: 17, text: "lost\n"},
	}
	got := blocks(text)
	if len(got) != len(want) {
		t.Fatalf("got %d blocks, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("block %d: got %+v, want %+v", i, got[i], want[i])
		}
	}
}
