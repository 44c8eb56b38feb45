package bench

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// Machine is where and when figures were made.
type Machine struct {
	Go      string    `json:"go"`
	OS      string    `json:"os"`
	Arch    string    `json:"arch"`
	CPU     string    `json:"cpu"`
	CPUs    int       `json:"cpus"`
	Started time.Time `json:"started"`
}

func thisMachine() Machine {
	return Machine{
		Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, CPU: cpuName(), CPUs: runtime.GOMAXPROCS(0),
		Started: time.Now().UTC().Truncate(time.Second),
	}
}

func (m Machine) describe() string {
	return fmt.Sprintf("%s %s/%s, %s (%d CPUs), %s", m.Go, m.OS, m.Arch, m.CPU, m.CPUs, m.Started.Format(time.DateOnly))
}

// cpuName asks the system for the processor's name.
func cpuName() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(info)) {
			if name, ok := strings.CutPrefix(line, "model name"); ok {
				return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
			}
		}
	}
	return "unknown " + runtime.GOARCH
}
