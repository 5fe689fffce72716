//go:build unix

package postgres_test

import (
	"os/exec"
	"syscall"
)

// runAs has cmd run as another user.
func runAs(cmd *exec.Cmd, a *account) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: a.uid, Gid: a.gid}}
}
