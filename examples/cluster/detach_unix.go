//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// detach puts a process into a group of its own, which the terminal does not interrupt.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
