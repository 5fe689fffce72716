package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// measurement is what bench-load says about one work. Figures that it does not know
// are zero. CPU time and memory are the server's.
type measurement struct {
	Work     string   `json:"work"`
	Clients  int      `json:"clients"`
	Payload  int      `json:"payload,omitempty"` // bytes
	Unit     string   `json:"unit,omitempty"`    // delivery, call, connection, …
	Units    int      `json:"units"`
	CPU      float64  `json:"cpu_us"` // µs per unit, user and system
	Rate     float64  `json:"per_second"`
	P50      float64  `json:"p50_us,omitempty"`
	P99      float64  `json:"p99_us,omitempty"`
	P999     float64  `json:"p999_us,omitempty"`
	Max      float64  `json:"max_us,omitempty"`
	Resident int      `json:"rss_bytes,omitempty"`
	PerConn  float64  `json:"bytes_per_conn,omitempty"`
	Allocs   *float64 `json:"allocs,omitempty"`    // heap objects per unit; nil when unknown
	Busy     float64  `json:"load_busy,omitempty"` // CPU time of the load generator per second
	Error    string   `json:"error,omitempty"`     // no figures then
}

// row is a measurement with its place in the run.
type row struct {
	Section string `json:"section"`
	// Pass numbers one walk along the servers with the same works. Only rows of the
	// same pass are compared with each other.
	Pass   int    `json:"pass"`
	Server string `json:"server"`
	measurement
}

// run is everything that was measured: the raw file, from which the report is made.
type run struct {
	Environment environment `json:"environment"`
	Sections    []section   `json:"sections"`
	Servers     []server    `json:"servers"`
	// Notes say what was left out.
	Notes []string `json:"notes,omitempty"`
	Rows  []row    `json:"rows"`
}

func readRun(file string) (*run, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var r run
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &r, nil
}

func (r *run) write(file string) error {
	b, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return writeFile(file, append(b, '\n'))
}

// writeFile writes a file in a folder that need not exist.
func writeFile(file string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o644)
}
