# Run by mmdebstrap when all packages are installed; $1: the root in the making. Puts the wheels in
# SOURCERY_WHEELS there as Debian's Python takes them, and removes what says when and where it was
# made.
set -eu
root=$1

inside() {
	chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LC_ALL=C.UTF-8 TZ=UTC \
		PYTHONHASHSEED=0 SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" "$@"
}

mkdir "$root/tmp/wheels"
cp "$SOURCERY_WHEELS"/* "$root/tmp/wheels/"
# pip may neither ask an index nor read settings: what there is, is there, with its hashes.
inside python3 -I -B -m pip install --quiet --isolated --no-index --find-links=/tmp/wheels --no-deps \
	--require-hashes --only-binary=:all: --no-compile --no-cache-dir --no-warn-script-location \
	--disable-pip-version-check --root-user-action=ignore --break-system-packages \
	--requirement=/tmp/wheels/requirements.txt
# Compiled ahead, since every action of a build starts a Python; by content, not by time. What a .pth
# file imports as soon as a Python starts would be compiled by time, so that is not kept (-B, -f).
inside python3 -I -B -m compileall -f -q -j 1 --invalidation-mode unchecked-hash \
	"$(inside python3 -I -B -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
rm -r "$root/tmp/wheels"
mkdir -p "$root/project" "$root/var/cache/sourcery"

# The machine's own, which mmdebstrap has put there, and the packages' place.
rm -f "$root/etc/resolv.conf" "$root/etc/hostname"
rm -rf "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/*
# What was there before the last change, and logs.
rm -f "$root"/var/lib/dpkg/*-old "$root"/var/cache/debconf/*-old "$root"/var/cache/apt/*.bin
find "$root/var/log" -type f -delete
