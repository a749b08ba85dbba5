package devstack

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// canListProcesses says that processesIn sees what is there.
const canListProcesses = true

// selfExe answers a path of this program. The link works even for a user to whom the directory of
// the program is closed.
func selfExe() (string, error) { return "/proc/self/exe", nil }

// dieWithParent lets a child get the signal when the thread that started it ends.
func dieWithParent(attr *syscall.SysProcAttr, signal syscall.Signal) { attr.Pdeathsig = signal }

// processesIn lists the processes that work in a directory. Each process of a PostgreSQL server
// works in its data directory, so this also finds what a killed server left.
func processesIn(dir string) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		// Processes that are gone meanwhile, or another user's, are not ours.
		if cwd, err := os.Readlink(filepath.Join("/proc", e.Name(), "cwd")); err != nil || cwd != dir {
			continue
		}
		if comm, err := os.ReadFile(filepath.Join("/proc", e.Name(), "comm")); err != nil || string(comm) != "postgres\n" {
			continue
		}
		pids = append(pids, pid)
	}
	return pids, nil
}
