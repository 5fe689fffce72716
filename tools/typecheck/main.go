// Command typecheck checks that packages are valid Go on other platforms than this one, tests included:
//
//	typecheck -platforms windows/amd64,linux/arm64 PATTERN...
//
// It reads everything from source, dependencies as well, and so takes a fifth of the time of compiling for a platform that has
// not been compiled for before. What it does not see is assembly and the linker's business.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"golang.org/x/tools/go/packages"
)

func main() {
	platforms := flag.String("platforms", "", "GOOS/GOARCH, several separated by commas")
	flag.Parse()
	if *platforms == "" || flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	failed := false
	for platform := range strings.SplitSeq(*platforms, ",") {
		n, err := check(platform, flag.Args())
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		fmt.Printf("%s: %d packages\n", platform, n)
		if n == 0 {
			failed = true // they were not looked at, or have errors
		}
	}
	if failed {
		os.Exit(1)
	}
}

// check type-checks the packages for a platform. It returns how many there are, 0 if some have errors, which are printed.
func check(platform string, patterns []string) (n int, err error) {
	goos, goarch, ok := strings.Cut(platform, "/")
	if !ok {
		return 0, fmt.Errorf("%q is no GOOS/GOARCH", platform)
	}
	all, err := packages.Load(&packages.Config{
		Mode:  packages.NeedName | packages.NeedImports | packages.NeedDeps | packages.NeedTypes | packages.NeedTypesSizes | packages.NeedSyntax | packages.NeedTypesInfo,
		Env:   append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0"),
		Tests: true,
	}, patterns...)
	if err != nil {
		return 0, err
	}
	if packages.PrintErrors(all) > 0 {
		return 0, nil
	}
	return len(all), nil
}
