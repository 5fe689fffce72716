// Command vulns runs govulncheck over modules and judges what it finds:
//
//	vulns -db DIR MODULE...
//
// DIR holds the reports of the Go vulnerability database, data/osv of the module golang.org/x/vulndb. Each MODULE
// is a folder in the repository, from whose root the command runs. It is looked at alone, without go.work, at the versions that its users get, tests included.
//
// A vulnerability that some function of ours can reach in a dependency is a failure: the dependency has to be updated. One in
// a package of the standard library is a warning that names the release of Go with the remedy: no change to a module brings
// that, so nobody asks what is called. The others, in packages that are imported or modules that are required, are listed.
// Of the modules below examples and bench, which nobody imports, only the imports are looked at: what they show or compare
// with may not be mended.
package main
