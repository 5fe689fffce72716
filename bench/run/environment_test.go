package main

import (
	"path/filepath"
	"testing"
	"time"
)

func TestReadTicks(t *testing.T) {
	tests := []struct {
		text string
		want uint64
		ok   bool
	}{
		{"cpu  1 2 3 400 500 6 7 8 9 10\ncpu0 1 2 3 4 5 6 7 8\n", 27, true},
		{"cpu  1 2 3 400 500 6 7", 0, false},
		{"cpu  1 2 x 400 500 6 7 8\n", 0, false},
		{"intr 1 2 3 4 5 6 7 8 9\n", 0, false},
		{"", 0, false},
	}
	file := filepath.Join(t.TempDir(), "stat")
	for _, test := range tests {
		if err := writeFile(file, []byte(test.text)); err != nil {
			t.Fatal(err)
		}
		if got, ok := readTicks(file); got != test.want || ok != test.ok {
			t.Errorf("%q: got %d, %t, want %d, %t", test.text, got, ok, test.want, test.ok)
		}
	}
	if got := busyCores(file+" that is missing", time.Hour); got != 0 {
		t.Errorf("got %v without the file, want 0", got)
	}
}

func TestValueIn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "info")
	if err := writeFile(file, []byte("processor\t: 0\nmodel name\t: A: B\nmodel name\t: C\nID=debian\n")); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"model name": "A: B", "ID": "debian", "model": ""} {
		if got := valueIn(file, key); got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
	if got := valueIn(file+" that is missing", "ID"); got != "" {
		t.Errorf("got %q from a file that is missing", got)
	}
}
