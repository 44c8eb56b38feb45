// Package command is a program that has several commands. Each command is a struct
// that kong fills from flags and from environment variables of the same name:
// --shutdown-timeout is NEARBY_SHUTDOWN_TIMEOUT, in every program. A flag that should
// have none says so with the tag env:"-".
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/alecthomas/kong"

	"nearby/internal/terminal"
)

// Exit codes that every program has.
const (
	OK     = 0
	Failed = 1 // the command could not do its work
	Usage  = 2 // the command line is wrong
)

// Environ is what a command is given of the process.
type Environ struct {
	Ctx            context.Context
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Cursor         io.Writer // stderr, for what moves the cursor and has no text of others
}

// Program is a program.
type Program struct {
	Name, Description string
	Version           string // stamped by the linker; "": what the Go toolchain recorded
	// Vars are what the tags of flags name as ${name}.
	Vars map[string]string
	// Prepare changes the arguments before they are parsed; nil: it does not.
	Prepare func(args []string) []string
	// ExitCode is that of an error, and says whether the command has told of the error
	// itself; nil: Failed, and it has not.
	ExitCode func(error) (code int, told bool)
}

// UsageError says that the command line asks for something that cannot be.
type UsageError struct{ reason string }

func (e *UsageError) Error() string { return e.reason }

// Usagef makes a UsageError.
func Usagef(format string, args ...any) error { return &UsageError{fmt.Sprintf(format, args...)} }

// exited carries the exit code that kong asks for after --help.
type exited int

// Run parses the arguments into commands, a pointer to the struct of all commands, and
// runs the one that they name. Its method Run is given the Environ, and the Program if it
// asks for that. What a command prints, no terminal obeys. Run returns the exit code.
func (p *Program) Run(ctx context.Context, commands any, args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	env := &Environ{Ctx: ctx, Stdin: stdin, Stdout: &terminal.Screen{W: stdout}, Stderr: &terminal.Screen{W: stderr}, Cursor: stderr}
	complain := func(err error) { terminal.Complain(env.Stderr, p.Name, err) }
	parser, err := kong.New(commands, append(p.Options(),
		kong.Writers(stdout, stderr), // of which kong asks the width
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.Bind(env, p),
	)...)
	if err != nil {
		complain(err)
		return Failed
	}
	defer func() {
		if v := recover(); v != nil {
			e, ok := v.(exited)
			if !ok {
				panic(v)
			}
			code = int(e)
		}
	}()
	if len(args) == 0 {
		args = []string{"--help"}
	}
	if p.Prepare != nil {
		args = p.Prepare(args)
	}
	selected, err := parser.Parse(args)
	if err != nil {
		complain(err)
		fmt.Fprintln(env.Stderr, "Try: "+p.Name+" "+named(err)+"--help")
		return Usage
	}
	if err = selected.Run(); err == nil {
		return OK
	}
	if errors.As(err, new(*UsageError)) {
		complain(err)
		return Usage
	}
	code, told := Failed, false
	if p.ExitCode != nil {
		code, told = p.ExitCode(err)
	}
	if !told {
		complain(err)
	}
	return code
}

// Options are those by which kong knows the program.
func (p *Program) Options() []kong.Option {
	return []kong.Option{
		kong.Name(p.Name),
		kong.Description(p.Description),
		kong.DefaultEnvars("NEARBY"),
		kong.Vars(p.Vars),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
	}
}

// named is the name of the command that a command line was for, with a blank after it,
// as far as kong got.
func named(err error) string {
	var e *kong.ParseError
	if errors.As(err, &e) && e.Context.Selected() != nil {
		return e.Context.Selected().Name + " "
	}
	return ""
}

// Version is the command that prints the version.
type Version struct{}

// Run is called by kong.
func (Version) Run(env *Environ, p *Program) error {
	_, err := fmt.Fprintln(env.Stdout, p.Name, VersionOf(p.Version))
	return err
}

// VersionFlag is the command Version as a flag, which no other argument need be beside.
type VersionFlag bool

// BeforeReset is called by kong when the flag is given.
func (VersionFlag) BeforeReset(app *kong.Kong, env *Environ, p *Program) error {
	err := Version{}.Run(env, p)
	app.Exit(OK)
	return err
}

// VersionOf is the stamped version, or what the Go toolchain recorded.
func VersionOf(stamped string) string {
	if stamped != "" {
		return stamped
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
