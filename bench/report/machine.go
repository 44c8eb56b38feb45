package report

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

// ThisMachine returns this machine, and now as the time.
func ThisMachine() Machine {
	return Machine{
		Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, CPU: cpuName(), CPUs: runtime.GOMAXPROCS(0),
		Started: time.Now().UTC().Truncate(time.Second),
	}
}

// Describe says in a few words which machine it is.
func (m Machine) Describe() string {
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

// Made says how the figures of a report were made.
type Made struct {
	Seed    uint64 `json:"seed"`
	Points  int    `json:"points,omitempty"` // of each generated set, if there is one
	Quick   bool   `json:"quick"`
	RowTime string `json:"rowTime"`
	Machine
	Elapsed string `json:"elapsed"`
}

// Ended notes how long the measuring has taken.
func (m *Made) Ended() { m.Elapsed = time.Since(m.Started).Round(time.Second).String() }

// Caption says how the figures were made.
func (m Made) Caption() string {
	s := fmt.Sprintf("Seed %d, ", m.Seed)
	if m.Points > 0 {
		s += Count(m.Points) + " points a generated set, "
	}
	return s + fmt.Sprintf("%s per row, %s.%s", m.RowTime, m.Describe(), QuickCaption(m.Quick))
}

// QuickCaption is what a caption says at its end of figures that were made with
// little care.
func QuickCaption(quick bool) string {
	if !quick {
		return ""
	}
	return " A quick run: a look, not figures to quote."
}
