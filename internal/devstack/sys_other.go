//go:build !linux

package devstack

import (
	"os"
	"syscall"
)

const canListProcesses = false

func selfExe() (string, error) { return os.Executable() }

// dieWithParent does nothing: only Linux has such a signal. What a killed supervisor leaves, the
// next start reports.
func dieWithParent(*syscall.SysProcAttr, syscall.Signal) {}

func processesIn(string) ([]int, error) { return nil, nil }
