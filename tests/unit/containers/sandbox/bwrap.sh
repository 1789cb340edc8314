#!/bin/sh
# Stands in for bubblewrap in the launcher's tests: runs the command, which follows `--`.
while [ "$1" != "--" ]; do
	shift
done
shift
exec "$@"
