package main

import (
	"errors"
	"strings"
)

// The section of the README between these lines is generated.
const (
	beginMark = "<!-- bench:begin -->"
	endMark   = "<!-- bench:end -->"
)

var errMarks = errors.New("it needs one line " + beginMark + " and one line " + endMark + " after it")

// replaceMarked puts text between the marks.
func replaceMarked(file, text string) (string, error) {
	before, rest, ok := strings.Cut(file, beginMark)
	if !ok {
		return "", errMarks
	}
	inner, after, ok := strings.Cut(rest, endMark)
	if !ok || strings.Contains(inner+after, beginMark) || strings.Contains(after, endMark) {
		return "", errMarks
	}
	return before + beginMark + "\n\n" + strings.TrimSpace(text) + "\n\n" + endMark + after, nil
}
