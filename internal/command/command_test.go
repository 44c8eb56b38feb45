package command_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"nearby/internal/command"
)

var errQuiet = errors.New("has been told")

// doCmd ends as its flag says, and prints text that moves the cursor.
type doCmd struct {
	End    string `default:"well"`
	Server string
}

func (c *doCmd) Run(env *command.Environ) error {
	fmt.Fprintf(env.Stdout, "%s\x1b[2J\n", c.Server)
	return map[string]error{
		"usage": command.Usagef("--end %s: cannot be", c.End), "quiet": errQuiet, "badly": fmt.Errorf("reading: %w", context.Canceled),
	}[c.End]
}

// Each way in which a command ends has its exit code and its words on stderr; flags have
// variables; and no terminal obeys what is printed.
func TestRun(t *testing.T) {
	t.Setenv("NEARBY_SERVER", "there")
	p := &command.Program{Name: "prog", Version: "v7", ExitCode: func(err error) (int, bool) { return 9, errors.Is(err, errQuiet) }}
	for _, c := range []struct {
		args           string
		code           int
		stdout, stderr string
	}{
		{"do", command.OK, "there\\u001b[2J\n", ""},
		{"do --server=here", command.OK, "here\\u001b[2J\n", ""},
		{"do --end usage", command.Usage, "there\\u001b[2J\n", "prog: --end usage: cannot be\n"},
		{"do --end quiet", 9, "there\\u001b[2J\n", ""},
		{"do --end badly", 9, "there\\u001b[2J\n", "prog: reading: interrupted\n"},
		{"do --fly", command.Usage, "", "prog: unknown flag --fly\nTry: prog do --help\n"},
		{"fly", command.Usage, "", "prog: unexpected argument fly\nTry: prog --help\n"},
		{"version", command.OK, "prog v7\n", ""},
		{"do --version", command.OK, "prog v7\n", ""},
	} {
		var commands struct {
			Do          doCmd               `cmd:""`
			Version     command.Version     `cmd:""`
			ShowVersion command.VersionFlag `name:"version" env:"-"`
		}
		var stdout, stderr bytes.Buffer
		code := p.Run(t.Context(), &commands, strings.Fields(c.args), strings.NewReader(""), &stdout, &stderr)
		if code != c.code || stdout.String() != c.stdout || stderr.String() != c.stderr {
			t.Errorf("%s: %d, %q, %q; want %d, %q, %q", c.args, code, &stdout, &stderr, c.code, c.stdout, c.stderr)
		}
	}
	var none struct {
		Do doCmd `cmd:""`
	}
	var stdout, stderr bytes.Buffer
	if code := p.Run(t.Context(), &none, nil, strings.NewReader(""), &stdout, &stderr); code != command.OK || !strings.HasPrefix(stdout.String(), "Usage: prog ") || stderr.String() != "" {
		t.Errorf("without arguments: %d, %q, %q", code, &stdout, &stderr)
	}
	p.ExitCode = nil
	if code := p.Run(t.Context(), &none, []string{"do", "--end=quiet"}, strings.NewReader(""), &stdout, &stderr); code != command.Failed {
		t.Errorf("without codes of its own: %d", code)
	}
}
