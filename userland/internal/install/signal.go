package install

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// A Signal is the cause of a context that ended because the user, or the system,
// wanted this process to end.
type Signal struct{ Number syscall.Signal }

func (s Signal) Error() string { return "ended by a signal: " + s.Number.String() }

// Interruption gives a *Failure where ctx ended because of a Signal, else nil.
func Interruption(ctx context.Context) error {
	if f := interruption(ctx); f != nil {
		return f
	}
	return nil
}

func interruption(ctx context.Context) *Failure {
	var s Signal
	if !errors.As(context.Cause(ctx), &s) {
		return nil
	}
	return &Failure{StatusSignal + int(s.Number), s}
}

// WithSignals gives a context that ends with SIGINT, SIGQUIT, SIGTERM or SIGHUP,
// its cause being a Signal. A signal that our parent has told us to ignore, as
// nohup(1) does, stays ignored. After stop, signals do again what they did
// before.
func WithSignals(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	go func() {
		select {
		case s := <-signals:
			cancel(Signal{s.(syscall.Signal)})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}
