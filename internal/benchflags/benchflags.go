// Package benchflags has the flags that commands share which measure: which points
// are measured, and where the report goes. These flags have no environment variables:
// a figure should say how it was made.
package benchflags

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"nearby/bench/dataset"
	"nearby/bench/measure"
	"nearby/bench/report"
	"nearby/ingest"
	"nearby/internal/command"
	"nearby/internal/interrupt"
	"nearby/internal/terminal"
)

// Sets are the flags that say which points are measured.
type Sets struct {
	N     int      `name:"n" short:"n" env:"-" default:"0" help:"Number of points in each generated set; 0 means 1,000,000, or 50,000 with --quick."`
	Seed  uint64   `env:"-" default:"1" help:"Seed of the sets and the queries."`
	Quick bool     `env:"-" help:"A first look: smaller sets, shorter measurements."`
	Set   []string `env:"-" help:"Generated set to measure. May be repeated. Default: all sets." placeholder:"NAME"`
	Data  []string `env:"-" type:"path" help:"Measure the points of this file instead of generated sets. The file may have any format that nearby load reads. May be repeated." placeholder:"FILE"`
	Lat   string   `env:"-" help:"Column of the latitude." placeholder:"NAME"`
	Lon   string   `env:"-" help:"Column of the longitude." placeholder:"NAME"`
}

// Options returns what the flags ask for. It reads the files until ctx ends, and says
// on told what was read of each.
func (s *Sets) Options(ctx context.Context, told io.Writer) (measure.Options, error) {
	opt := measure.Options{Points: s.N, Seed: s.Seed, Quick: s.Quick, Sets: s.Set}
	if s.N < 0 || s.N > measure.MaxPoints {
		return opt, command.Usagef("-n %d: must be from 0 to %d", s.N, measure.MaxPoints)
	}
	for _, name := range s.Set {
		if _, err := dataset.Generate(name, 0, 0); err != nil {
			return opt, command.Usagef("--set %s: must be one of %s", name, strings.Join(dataset.Names(), ", "))
		}
	}
	for _, name := range s.Data {
		set, rejected, err := s.read(ctx, name)
		if err != nil {
			return opt, err
		}
		fmt.Fprintf(told, "%s: %s points, %s rows rejected\n", terminal.OneLine(name), terminal.Thousands(int64(len(set.Positions))), terminal.Thousands(int64(rejected)))
		opt.Own = append(opt.Own, set)
	}
	return opt, nil
}

// read takes the points of a user's file.
func (s *Sets) read(ctx context.Context, name string) (set dataset.Set, rejected int, err error) {
	f, _, err := interrupt.Open(ctx, name)
	if err != nil {
		return set, 0, err
	}
	defer func() { _ = f.Close() }()
	positions, rejected, err := dataset.Read(f, ingest.Options{Lat: s.Lat, Lon: s.Lon}, measure.MaxPoints)
	if err != nil {
		return set, 0, fmt.Errorf("%s: %w", name, err)
	}
	if len(positions) == 0 {
		return set, 0, fmt.Errorf("%s: has no points", name)
	}
	return dataset.Set{Name: filepath.Base(name), Positions: positions}, rejected, nil
}

// Out is the flag that says where the report goes.
type Out struct {
	Out string `env:"-" default:"report" type:"path" help:"Where to write the report: a folder, or the name of the HTML file."`
}

// Base makes the report's folder and returns the files' name without the extension,
// which is name unless --out says another.
func (o *Out) Base(name string) (base string, err error) {
	folder, base := o.Out, filepath.Join(o.Out, name)
	if name, ok := strings.CutSuffix(o.Out, ".html"); ok {
		folder, base = filepath.Dir(o.Out), name
	}
	return base, os.MkdirAll(folder, 0o755)
}

// Write prints a report and writes its files.
func Write(stdout io.Writer, base string, r report.Report) error {
	if err := r.WriteText(stdout); err != nil {
		return err
	}
	written, err := report.Save(base, r)
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, "report:", strings.Join(written, " "))
	return nil
}

// Progress shows how far a measurement is.
func Progress(cursor io.Writer, name string) func(measure.Progress) {
	steps := terminal.NewSteps(cursor, name)
	return func(p measure.Progress) { steps.Show(p.Done, p.Total, p.Doing) }
}
