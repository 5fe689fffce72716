package docs

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// publishedModules are those that others import.
var publishedModules = []string{".", "adapter/nats", "adapter/nats/embedded", "adapter/postgres", "adapter/redis", "eio/webtransport"}

// TestDependencies compares docs/dependencies.md with what the modules require.
func TestDependencies(t *testing.T) {
	page, err := os.ReadFile("../../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	required := make(map[string]string) // versions
	indirect := make(map[string]bool)   // of the root module
	for _, dir := range publishedModules {
		mod, err := os.ReadFile(filepath.Join("../..", dir, "go.mod"))
		if err != nil {
			t.Fatal(err)
		}
		direct, others := requirements(string(mod))
		maps.Copy(required, direct)
		if dir == "." {
			indirect = others
		}
	}
	if len(required) < 6 || len(indirect) < 6 {
		t.Fatalf("only %d and %d modules are required", len(required), len(indirect))
	}
	for _, problem := range compareDependencies(string(page), required, indirect) {
		t.Error(problem)
	}
}

var (
	requirement   = regexp.MustCompile(`(?m)^(?:require )?\s*([a-z][^\s]*\.[^\s]*/[^\s]+) (v[^\s]+)( // indirect)?$`)
	dependencyRow = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (v[^ ]+) \\|")
	dependencyAny = regexp.MustCompile("`([a-z]+\\.[a-z]+/[^`]+)`")
)

// requirements returns what a go.mod requires itself, with versions, and what is required through that.
func requirements(mod string) (direct map[string]string, indirect map[string]bool) {
	direct, indirect = make(map[string]string), make(map[string]bool)
	for _, m := range requirement.FindAllStringSubmatch(mod, -1) {
		switch {
		case strings.HasPrefix(m[1], module):
		case m[3] != "":
			indirect[m[1]] = true
		default:
			direct[m[1]] = m[2]
		}
	}
	return direct, indirect
}

// compareDependencies returns what is wrong with the page.
func compareDependencies(page string, required map[string]string, indirect map[string]bool) (problems []string) {
	shown := make(map[string]string)
	for _, m := range dependencyRow.FindAllStringSubmatch(page, -1) {
		shown[m[1]] = m[2]
	}
	named := make(map[string]bool)
	for _, m := range dependencyAny.FindAllStringSubmatch(page, -1) {
		named[m[1]] = true
	}
	for _, path := range slices.Sorted(maps.Keys(required)) {
		if shown[path] != required[path] {
			problems = append(problems, path+" "+required[path]+" is required, the page has "+shown[path])
		}
	}
	for _, path := range slices.Sorted(maps.Keys(indirect)) {
		if !named[path] {
			problems = append(problems, path+" is required through others and not on the page")
		}
	}
	for _, path := range slices.Sorted(maps.Keys(named)) {
		if _, ok := required[path]; !ok && !indirect[path] {
			problems = append(problems, path+" is on the page and not required")
		}
	}
	return problems
}

func TestDependenciesAreCompared(t *testing.T) {
	direct, indirect := requirements("module " + module + "/x\n\nrequire (\n\texample.com/a v1.2.3\n\t" + module + " v0.0.0\n)\n\nrequire example.com/b v0.1.0 // indirect\n")
	const good = "| `example.com/a` | v1.2.3 | MIT |\n`example.com/b`"
	for page, want := range map[string]string{
		good: "",
		strings.Replace(good, "1.2.3", "1.2.2", 1):   "example.com/a v1.2.3 is required, the page has v1.2.2",
		"`example.com/b`":                            "example.com/a v1.2.3 is required, the page has ",
		strings.Replace(good, ".com/b", ".com/c", 1): "example.com/b is required through others and not on the page; example.com/c is on the page and not required",
	} {
		if got := strings.Join(compareDependencies(page, direct, indirect), "; "); got != want {
			t.Errorf("%q: got %q, want %q", page, got, want)
		}
	}
}
