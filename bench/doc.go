// Package bench holds the programs that measure epio: the server under load in
// server/. Micro-benchmarks stand beside the code they measure.
package bench
