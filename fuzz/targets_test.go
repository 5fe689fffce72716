package fuzz

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

var (
	target = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(f \*testing\.F\)`)
	row    = regexp.MustCompile("(?m)^\\| `(Fuzz\\w+)` \\|")
)

// Every target of the repository has its own name, by which make fuzz finds it, and a row in
// docs/reliability.md; and there are no other rows.
func TestTargets(t *testing.T) {
	const root = ".."
	page, err := os.ReadFile(filepath.Join(root, "docs", "reliability.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]bool)
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		if rows[m[1]] {
			t.Errorf("two rows for %s", m[1])
		}
		rows[m[1]] = true
	}
	found := make(map[string]string)
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && path != root && (name == "node_modules" || name == "bin" || name[0] == '.') {
			return fs.SkipDir
		}
		if match, _ := filepath.Match("*_test.go", d.Name()); !match {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range target.FindAllStringSubmatch(string(text), -1) {
			if other, ok := found[m[1]]; ok {
				t.Errorf("%s is in %s and in %s", m[1], other, path)
			}
			found[m[1]] = path
			if !rows[m[1]] {
				t.Errorf("%s, in %s, has no row in docs/reliability.md", m[1], path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range rows {
		if found[name] == "" {
			t.Errorf("docs/reliability.md has a row for %s, which is not there", name)
		}
	}
}
