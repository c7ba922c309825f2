// Command warder runs Warder and everything one does with it from a shell. It
// reads the arguments, calls one function of the instance and prints; what is
// allowed and what happens is decided inside. Commands that ask or change
// something work whether a server runs or not: through its socket in the data
// directory, or with the database itself. Only status wants one that runs, and
// restore one that does not.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/warderhq/warder"
	"github.com/warderhq/warder/internal/config"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// version is set by the linker.
var version = ""

func main() {
	os.Exit(run(context.Background(), os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr}, os.Environ()))
}

// stdio is what a command reads and writes.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// commands is the command line. Flags of the process stand before those of its
// commands in the help, but may be given anywhere.
type commands struct {
	Data   string `help:"Data directory (default ./data)." placeholder:"DIR"`
	Config string `help:"Configuration file." placeholder:"FILE" env:"WARDER_CONFIG"`
	JSON   bool   `help:"Print JSON instead of text." name:"json"`

	Serve    serveCmd    `cmd:"" help:"Run the server."`
	Gate     gateCmd     `cmd:"" help:"Run the server with an application behind its gate."`
	Status   statusCmd   `cmd:"" help:"Tell whether the server is ready, and what is degraded. Exit code 1 if none runs."`
	Check    checkCmd    `cmd:"" help:"Ask what would be answered to an address now. Counts nothing."`
	Block    blockCmd    `cmd:"" help:"Block an address or a prefix."`
	Unblock  unblockCmd  `cmd:"" help:"Lift the blocks of an address or a prefix."`
	Explain  explainCmd  `cmd:"" help:"Tell how a decision comes about: rules, counts, blocks."`
	Operator operatorCmd `cmd:"" help:"The people who run Warder."`
	Key      keyCmd      `cmd:"" help:"API keys of applications."`
	Policy   policyCmd   `cmd:"" help:"The policy: what is counted, and what follows."`
	Profile  profileCmd  `cmd:"" help:"How applications sign people in, as the gate has to know it."`
	Conf     configCmd   `cmd:"" name:"config" help:"The configuration of the process."`
	Replay   replayCmd   `cmd:"" help:"Tell what a policy would have made of a recorded list of events."`
	Audit    auditCmd    `cmd:"" help:"The audit trail."`
	Export   exportCmd   `cmd:"" help:"Write events, blocks, the audit trail or the security report to a file; verify a report."`
	Backup   backupCmd   `cmd:"" help:"Write a backup of everything to a file."`
	Restore  restoreCmd  `cmd:"" help:"Put a backup back. No server may be running."`
	Alert    alertCmd    `cmd:"" help:"Mail to the administrators."`
	Demo     demoCmd     `cmd:"" help:"Show Warder at work before a sample platform that is under attack."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
}

// env is what every command gets besides its own arguments.
type env struct {
	stdio
	flags   *commands
	environ []string
}

// open opens a file to read, or standard input for -. done ends it.
func (e *env) open(file string) (from io.Reader, done func(), err error) {
	if file == "-" {
		return e.in, func() {}, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	return f, func() { _ = f.Close() }, nil // only read
}

// config loads the configuration as serve does, with the settings that flags
// give; an empty one was not given.
func (e *env) config(flags map[string]string) (*config.Config, error) {
	given := map[string]string{"data": e.flags.Data}
	maps.Copy(given, flags)
	maps.DeleteFunc(given, func(_, value string) bool { return value == "" })
	cfg, err := config.Load(e.flags.Config, e.environ, given)
	if faults, ok := errors.AsType[warder.Faults](err); ok {
		where := "configuration"
		if e.flags.Config != "" {
			where = e.flags.Config
		}
		return nil, &faultsError{where: where, faults: faults}
	}
	return cfg, err
}

// faultsError prints every fault of a file on a line of its own.
type faultsError struct {
	where  string
	faults warder.Faults
}

func (e *faultsError) Error() string {
	lines := make([]string, len(e.faults))
	for i, f := range e.faults {
		lines[i] = e.where + ": " + f.Error()
	}
	return strings.Join(lines, "\n")
}

func (e *faultsError) Unwrap() error { return e.faults }

// usageError is a fault of the arguments that the parser cannot see.
type usageError struct{ msg string }

func (e *usageError) Error() string { return e.msg }

// exited is how the parser leaves after printing help.
type exited int

// run is the whole command with everything it touches as an argument; it
// returns the exit code.
func run(ctx context.Context, args []string, io stdio, environ []string) (code int) {
	var flags commands
	parser, err := kong.New(&flags,
		kong.Name("warder"),
		kong.Description("Warder watches sign-ins, tells attacks from mistakes, and stops the attackers."),
		kong.Writers(io.out, io.err),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.Exit(func(code int) { panic(exited(code)) }),
	)
	if err != nil {
		_, _ = fmt.Fprintln(io.err, "warder:", err)
		return exitFailure
	}
	defer func() {
		switch v := recover().(type) {
		case nil:
		case exited:
			code = int(v)
		default:
			panic(v)
		}
	}()
	switch {
	case len(args) == 0:
		args = []string{"--help"}
	case args[0] == "help": // as other programs have it
		args = append(args[1:len(args):len(args)], "--help")
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		_, _ = fmt.Fprintf(io.err, "warder: %s\nRun warder --help, or warder COMMAND --help.\n", plain(err.Error()))
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	parsed.BindTo(ctx, (*context.Context)(nil))
	err = parsed.Run(&env{stdio: io, flags: &flags, environ: environ})
	if err == nil {
		return exitOK
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		_, _ = fmt.Fprintln(io.err, "warder:", plain(line))
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	return exitFailure
}

type versionCmd struct{}

func (versionCmd) Run(e *env) error {
	return e.print(map[string]string{"version": versionText()}, func(w io.Writer) { _, _ = fmt.Fprintln(w, "warder", versionText()) })
}

// versionText is the version the linker set, else the module's.
func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
