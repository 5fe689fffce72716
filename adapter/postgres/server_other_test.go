//go:build !unix

package postgres_test

import "os/exec"

// runAs is not needed: nobody is root here.
func runAs(*exec.Cmd, *account) {}
