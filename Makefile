# Thin names for the real commands. On a fresh Debian machine, as root, with nothing but make and
# Python 3.11 or newer: `make build` makes the image, `make test` runs every test.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.SUFFIXES:
.DEFAULT_GOAL := help

# Debian keeps some programs where an ordinary user's PATH does not look.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin

BIN := .venv/bin
CODE := containers orchestrator reproducibility tests $(wildcard bench)

# program=package: the Debian package is installed where the program, or the file, is not there.
RUN_PROGRAMS := bwrap=bubblewrap
# What boots an image: QEMU, and firmware by its path.
BOOT_PROGRAMS := qemu-system-x86_64=qemu-system-x86 qemu-system-aarch64=qemu-system-arm \
	qemu-system-riscv64=qemu-system-misc /usr/share/ovmf/OVMF.fd=ovmf \
	/usr/share/qemu-efi-aarch64/QEMU_EFI.fd=qemu-efi-aarch64 \
	/usr/lib/u-boot/qemu_arm64/u-boot.bin=u-boot-qemu \
	/usr/lib/riscv64-linux-gnu/opensbi/generic/fw_jump.bin=opensbi
TEST_PROGRAMS := $(RUN_PROGRAMS) dockerd=docker.io fsck.fat=dosfstools mcopy=mtools \
	syslinux=syslinux \
	unshare=util-linux cpio=cpio zstd=zstd losetup=mount sgdisk=gdisk $(BOOT_PROGRAMS) \
	qemu-aarch64-static=qemu-user-static qemu-riscv64-static=qemu-user-static
# In bench: what the image writer is measured against.
BENCH_PROGRAMS := $(RUN_PROGRAMS) mcopy=mtools mkfs.vfat=dosfstools

.PHONY: help
help:
	@echo 'make build   set everything up, then build the image with the embedded engine'
	echo 'make test    set everything up, then run every check and every test'
	echo 'make bench   measure; ARGS="--rounds 3" for medians'
	echo 'make counts  put what the image in out/ consists of into README.md'
	echo 'make picture draw docs/session.svg from what the tests of booting recorded'
	echo 'make fmt     format the Python code, mend what can be mended'
	echo 'make relock  pin the newest dependencies in requirements*.lock'
	echo 'make clean   remove .venv and the tools'"'"' caches (not out/, not the store)'

.PHONY: build
build: setup
	@$(BIN)/orchestrate build --engine sandbox $(ARGS)

.PHONY: test
test: setup-tests
	@echo '== style'
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	echo '== types'
	$(BIN)/mypy
	echo '== unit tests, without a network'
	$(without_network)
	"$${netless[@]}" $(BIN)/python -m pytest tests/unit $(ARGS)
	echo '== integration tests'
	$(BIN)/python -m pytest tests/integration $(ARGS)

.PHONY: unit
unit: setup-tests
	@$(without_network)
	"$${netless[@]}" $(BIN)/python -m pytest tests/unit $(ARGS)

.PHONY: bench
bench: setup-bench
	@$(BIN)/python -m bench $(ARGS)

.PHONY: picture
picture: setup-tests
	@$(BIN)/python -m tests.picture

.PHONY: counts
counts: setup
	@$(BIN)/python -m bench.counts --readme README.md $(ARGS)

.PHONY: fmt
fmt: setup-tests
	@$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .

.PHONY: clean
clean:
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: setup
setup:
	@$(call packages,$(RUN_PROGRAMS))
	$(call environment,run,requirements-build.lock requirements.lock)

.PHONY: setup-tests
setup-tests:
	@$(call packages,$(TEST_PROGRAMS))
	$(call environment,dev,requirements-dev.lock)

.PHONY: setup-bench
setup-bench:
	@$(call packages,$(BENCH_PROGRAMS))
	$(call environment,run,requirements-build.lock requirements.lock)

# The newest versions that pyproject.toml allows, with the hashes of all their files. No address of
# an index gets into the files: any index that serves these bytes will do.
RELOCK_OPTIONS := --quiet --upgrade --generate-hashes --allow-unsafe --strip-extras --no-header \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --annotation-style=line
.PHONY: relock
relock: setup
	@$(BIN)/python -m venv --clear .cache/relock
	.cache/relock/bin/pip install --quiet pip-tools
	compile() {
		.cache/relock/bin/pip-compile $(RELOCK_OPTIONS) "$$@" pyproject.toml
	}
	compile -o requirements.lock
	compile -c requirements.lock --extra dev -o requirements-dev.lock
	compile -c requirements-dev.lock --only-build-deps --build-deps-for editable \
		--build-deps-for wheel -o requirements-build.lock
	head() { sed -i "1i # $$2, each with the hashes of all its files; made by \`make relock\`." "$$1"; }
	head requirements.lock 'What the project runs with'
	head requirements-dev.lock 'What the project runs, is tested and is built with'
	head requirements-build.lock 'What builds and installs the project'

# A Python that is new enough, in $$python; and what Debian lacks of $(1), installed.
define packages
missing=()
python=
for candidate in $${PYTHON:-python3 python3.13 python3.12 python3.11}; do
	if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
		python=$$candidate
		break
	fi
done
if [ -z "$$python" ]; then
	missing+=(python3 python3-venv)
elif ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then
	missing+=(python3-venv)
fi
for pair in $(1); do
	command -v "$${pair%%=*}" >/dev/null || [ -e "$${pair%%=*}" ] || missing+=("$${pair#*=}")
done
if [ "$${#missing[@]}" -gt 0 ]; then
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		echo "missing: $${missing[*]} (names of Debian packages)" >&2
		echo "install them, for example: sudo apt-get install $${missing[*]}" >&2
		exit 4
	fi
	echo "== installing $${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	apt-get install -qq -y --no-install-recommends "$${missing[@]}" >/dev/null
fi
python=$${python:-python3}
endef

# .venv with the locked dependencies of $(2) and the project itself; $(1) names that set. Done anew
# where a lock, the Python or the checkout's place is not what it was.
define environment
print="$(CURDIR) $$("$$python" -V) $$(cat pyproject.toml requirements*.lock | cksum)"
if [ "$$(head -n 1 .venv/made 2>/dev/null)" != "$$print" ]; then
	echo '== making .venv'
	"$$python" -m venv --clear .venv
	echo "$$print" > .venv/made
fi
if ! grep -qx -e '$(1)' -e dev .venv/made; then
	echo '== installing the dependencies ($(1))'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		$(addprefix -r ,$(2))
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps \
		--no-build-isolation --editable .
	echo '$(1)' >> .venv/made
fi
endef

# In $$netless: what runs a command where there is no network, as proof that it needs none.
define without_network
netless=()
for options in '--net' '--net --map-current-user'; do
	if unshare $$options true 2>/dev/null; then
		netless=(env SOURCERY_NO_NETWORK=1 unshare $$options --)
		break
	fi
done
if [ "$${#netless[@]}" = 0 ]; then
	echo 'no network namespace can be made here, so nothing proves that unit tests need no network' >&2
	[ -z "$${CI:-}" ] || exit 4
	netless=(env)
fi
endef
