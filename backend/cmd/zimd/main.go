// Zimd is the ZIM backend as a program of its own.
//
//	zimd serve --dev                             # try it out on this machine
//	zimd serve --app-id 1 --db /var/lib/zim.db   # with the app's secret in ZIM_APP_SECRET
//	zimd token --app-id 1 --user alice
//	zimd callbacks replay --db /var/lib/zim.db   # those that the app's server did not take
//
// Every flag that has an environment variable names it in zimd serve --help.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/zim-go/zim"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal also gives up the handling of signals, so that a second one ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run does what args say until that is done or ctx ends. It returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var cli struct {
		Serve     serveCmd `cmd:"" help:"Serve clients until SIGINT or SIGTERM."`
		Token     tokenCmd `cmd:"" help:"Print a token with which a user can log in."`
		Callbacks struct {
			Replay replayCmd `cmd:"" help:"Have the callbacks sent again that were given up. zimd serve must not be running: it sends them when it starts."`
		} `cmd:"" help:"What apps' servers were to be told."`
		Version kong.VersionFlag `help:"Print the version."`
	}
	status := -1 // what kong wants to exit with, after --help for example
	parser, err := kong.New(&cli,
		kong.Name("zimd"),
		kong.Description("A backend for the ZIM instant-messaging API."),
		kong.Vars{"version": zim.Version},
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) {
			if status < 0 {
				status = code
			}
		}),
	)
	if err != nil {
		panic(err) // the struct above is wrong
	}
	command, err := parser.Parse(args)
	if status < 0 {
		parser.FatalIfErrorf(err)
	}
	if status >= 0 {
		return status
	}
	switch command.Command() {
	case "serve":
		err = cli.Serve.run(ctx, stdout, stderr)
	case "callbacks replay":
		err = cli.Callbacks.Replay.run(stdout)
	case "token":
		err = cli.Token.run(stdout)
	}
	if err != nil {
		parser.Errorf("%v", err)
		return 1
	}
	return 0
}
