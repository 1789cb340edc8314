#!/bin/sh
# Backend of a rebuilderd worker: builds an image again, for the worker to compare.
#
# The worker calls it with one argument, the downloaded input, and with the folder for what is built
# in REBUILDERD_OUTDIR; it then compares each file there with the published one of that name
# (rebuilderd, worker/src/rebuild.rs). The input is an archive (tar, compressed or not) with
# sourcery.toml, sourcery.lock and whatever local files the spec names, at its top.
#
# ORCHESTRATE_OPTIONS: further options of `orchestrate build`, such as "--store /var/cache/sourcery".
set -eu

if [ "$#" -ne 1 ] || [ -z "${REBUILDERD_OUTDIR:-}" ]; then
	echo "usage: REBUILDERD_OUTDIR=FOLDER $0 ARCHIVE" >&2
	exit 2
fi
case $1 in
	/*) input=$1 ;;
	*) input=$PWD/$1 ;;
esac

work=$(mktemp -d "${TMPDIR:-/var/tmp}/rebuilder-sourcery.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir "$work/project"
tar -C "$work/project" --no-same-owner --no-same-permissions -xf "$input"
cd "$work/project"

orchestrate version
status=0
# shellcheck disable=SC2086 # several options
orchestrate build --spec sourcery.toml --lock sourcery.lock --out "$work/out" \
	${ORCHESTRATE_OPTIONS:-} || status=$?
# 1: built, and a comparison of the build's own failed. That is for the worker to see in the log; the
# bits are what it compares.
if [ "$status" -gt 1 ]; then
	exit "$status"
fi
cp -R "$work/out/." "$REBUILDERD_OUTDIR/"
