//go:build !linux

package herd

func flockMain() {}
