package app

import (
	"context"
	"errors"
	"net"
	"net/http"
)

// Local is an instance inside the process of one command.
type Local struct {
	app  *App
	stop func()
	done chan error
}

// Open makes a Local instance and runs it. It fails as New does; a
// *LockedError says that a server, or another command, holds the data
// directory.
func Open(ctx context.Context, opts Options) (*Local, error) {
	opts.Local = true
	a, err := New(ctx, opts)
	if err != nil {
		return nil, err
	}
	runCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	l := &Local{app: a, stop: stop, done: make(chan error, 1)}
	go func() {
		err := a.Run(runCtx)
		l.done <- errors.Join(err, a.local.Close()) // nobody accepts any more
	}()
	return l, nil
}

// Dial connects to the instance's API.
func (l *Local) Dial(ctx context.Context) (net.Conn, error) { return l.app.local.dial(ctx) }

// Close commits what is queued and gives the data directory back.
func (l *Local) Close() error {
	l.stop()
	err := <-l.done
	return errors.Join(err, l.app.Close())
}

// localHandler serves the socket: the API with every scope, and what only
// somebody on this machine may do.
func (a *App) localHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /local/backup", a.serveBackup)
	mux.Handle("/", a.api.SocketHandler())
	return mux
}
