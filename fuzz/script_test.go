package fuzz

import (
	"os/exec"
	"strings"
	"testing"
)

// make fuzz fails for all the fuzzer has to say but one thing: that its time was over, which the fuzzer of Go takes for a
// failure when its deadline passes at the wrong moment.
func TestScriptOutOfTime(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash")
	}
	const (
		begin = "fuzz: elapsed: 0s, gathering baseline coverage: 0/37 completed\n"
		going = "fuzz: elapsed: 1s, execs: 19615 (25450/sec), new interesting: 54 (total: 91)\n"
		ended = "--- FAIL: FuzzOne (0.77s)\n    context deadline exceeded\nFAIL\n"
		input = "    \n    Failing input written to testdata/fuzz/FuzzOne/1f0b\n"
	)
	for name, test := range map[string]struct {
		log  string
		time bool // over
	}{
		"while fuzzing":        {begin + going + ended, true},
		"before all seeds":     {begin + ended, true},
		"nothing":              {"", false},
		"killed":               {begin + going, false},
		"failed":               {begin + "--- FAIL: FuzzOne (0.77s)\nFAIL\n", false},
		"another's":            {begin + "--- FAIL: FuzzOneMore (0.77s)\n    context deadline exceeded\nFAIL\n", false},
		"input":                {begin + going + "--- FAIL: FuzzOne (0.77s)\n    --- FAIL: FuzzOne (0.00s)\n        one_test.go:12: lost\n" + input + "FAIL\n", false},
		"input with a context": {begin + going + "--- FAIL: FuzzOne (0.77s)\n    --- FAIL: FuzzOne (0.00s)\n        one_test.go:12: context deadline exceeded\n" + input + "FAIL\n", false},
		"being minimized":      {begin + going + "fuzz: minimizing 30-byte failing input file\n" + ended, false},
		"seed":                 {begin + "failure while testing seed corpus entry: FuzzOne/seed#3\n" + ended, false},
		"hung":                 {begin + going + "--- FAIL: FuzzOne (0.77s)\n    fuzzing process hung or terminated unexpectedly: exit status 2\nFAIL\n", false},
		"panic":                {begin + going + "panic: of the fuzzer itself\n" + ended, false},
		"race":                 {begin + going + ended + "WARNING: DATA RACE\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(bash, "-c", `set -euo pipefail; source ../scripts/lib.sh; fuzz_out_of_time FuzzOne && echo over || echo found`)
			cmd.Stdin = strings.NewReader(test.log)
			out, err := cmd.CombinedOutput()
			want := map[bool]string{true: "over\n", false: "found\n"}[test.time]
			if err != nil || string(out) != want {
				t.Errorf("%q, %v, want %q of\n%s", out, err, want, test.log)
			}
		})
	}
}
