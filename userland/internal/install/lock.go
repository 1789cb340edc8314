package install

import (
	"context"
	"path/filepath"

	"sourcery/userland/internal/filelock"
)

// lock waits until no other installer works on the command, and keeps others
// out until release is called or the process dies.
func (in *Installer) lock(ctx context.Context, name string) (release func(), err error) {
	return filelock.Take(ctx, filepath.Join(in.Layout.Locks(), name))
}
