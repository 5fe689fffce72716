// Package docs holds no code, only tests: they read every page of Markdown in the repository and compile its blocks of Go,
// so that what readers copy works. Links between pages are followed, too.
//
// # Blocks
//
// Every fenced block names its language. One that says go and begins with a package clause is a whole program. Any other is
// a fragment, and is completed:
//
//   - Packages are imported by the names they are used with (packages.go lists them); fragments hold no imports.
//
//   - Functions, methods and types at the left margin become declarations of a file, everything else the body of a function.
//
//   - Functions and types that earlier fragments of a page declare can be used by the later ones.
//
//   - In the body these names are given: see prelude in packages.go.
//
//   - An HTML comment right above the block declares what else it takes as given:
//
//     <!-- go: var db *sql.DB -->
//
// What is left must compile by itself: no dots for what was left out, no unused variables. It is formatted with gofmt.
package docs
