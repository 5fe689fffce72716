package docs

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	inline  = regexp.MustCompile("`[^`\n]*`")
	fenced  = regexp.MustCompile("(?ms)^```.*?^```$")
)

// Links to files and headings of the repository lead somewhere.
func TestLinks(t *testing.T) {
	all := pages(t, root)
	anchors := map[string]map[string]bool{}
	for _, p := range all {
		anchors[p.path] = headings(p.text)
	}
	checked := 0
	for _, p := range all {
		prose := inline.ReplaceAllString(fenced.ReplaceAllString(p.text, ""), "")
		for _, match := range link.FindAllStringSubmatch(prose, -1) {
			to := match[1]
			if strings.Contains(to, "://") || strings.HasPrefix(to, "mailto:") {
				continue
			}
			checked++
			file, anchor, _ := strings.Cut(to, "#")
			target := p.path
			if file != "" {
				target = path.Join(path.Dir(p.path), file)
				if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(target))); err != nil {
					t.Errorf("%s: nothing at %s", p.path, to)
					continue
				}
			}
			if anchor != "" && path.Ext(target) == ".md" && !anchors[target][anchor] {
				t.Errorf("%s: no heading for %s", p.path, to)
			}
		}
	}
	if checked == 0 {
		t.Error("no links found")
	}
}

var notInAnchors = regexp.MustCompile(`[^\p{L}\p{N}\- _]`)

// headings returns the anchors that GitHub makes of a page's headings.
func headings(text string) map[string]bool {
	found := map[string]bool{}
	for _, match := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		anchor := notInAnchors.ReplaceAllString(strings.ToLower(match[1]), "")
		found[strings.ReplaceAll(anchor, " ", "-")] = true
	}
	return found
}
