# Thin names for the real commands. On a fresh Debian machine, as root, with nothing but make and
# Python 3.11 or newer: `make build` makes the image, `make test` runs every test.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.SUFFIXES:
.DEFAULT_GOAL := help

# Debian keeps some programs where an ordinary user's PATH does not look.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin

# Whose Python, and what it takes for its own library: none of a person's settings of that.
unexport DEB_PYTHON_INSTALL_LAYOUT PYTHONEXECUTABLE PYTHONHOME PYTHONINSPECT PYTHONNOUSERSITE \
	PYTHONOPTIMIZE PYTHONPATH PYTHONPLATLIBDIR PYTHONSAFEPATH PYTHONSTARTUP PYTHONUSERBASE \
	PYTHONWARNINGS __PYVENV_LAUNCHER__

BIN := .venv/bin
CODE := containers orchestrator reproducibility tests $(wildcard bench)

# program=package: the Debian package is installed where the program, or the file, is not there.
LIBSECCOMP := $(firstword $(wildcard /usr/lib/*/libseccomp.so.2 /lib/*/libseccomp.so.2 \
	/usr/lib/libseccomp.so.2 /usr/lib64/libseccomp.so.2) /usr/lib/libseccomp.so.2)
RUN_PROGRAMS := bwrap=bubblewrap $(LIBSECCOMP)=libseccomp2
# What boots an image: QEMU, and firmware by its path.
BOOT_PROGRAMS := qemu-system-x86_64=qemu-system-x86 qemu-system-aarch64=qemu-system-arm \
	qemu-system-riscv64=qemu-system-misc /usr/share/ovmf/OVMF.fd=ovmf \
	/usr/share/qemu-efi-aarch64/QEMU_EFI.fd=qemu-efi-aarch64 \
	/usr/lib/u-boot/qemu_arm64/u-boot.bin=u-boot-qemu \
	/usr/lib/riscv64-linux-gnu/opensbi/generic/fw_jump.bin=opensbi
TEST_PROGRAMS := $(RUN_PROGRAMS) dockerd=docker.io fsck.fat=dosfstools mcopy=mtools \
	syslinux=syslinux \
	unshare=util-linux cpio=cpio zstd=zstd losetup=mount sgdisk=gdisk $(BOOT_PROGRAMS) \
	qemu-aarch64-static=qemu-user-static qemu-riscv64-static=qemu-user-static \
	b3sum=b3sum skopeo=skopeo chromium=chromium systemd-analyze=systemd
# In bench: what the image writer is measured against.
BENCH_PROGRAMS := $(RUN_PROGRAMS) mcopy=mtools mkfs.vfat=dosfstools

# What makes the container image; without root, it maps users.
IMAGE_PROGRAMS := mmdebstrap=mmdebstrap newuidmap=uidmap

.PHONY: help
help:
	@echo 'make build   set everything up, then build the image with the embedded engine'
	echo 'make test    set everything up, then run every check and every test but the next six'
	echo 'make test-engines   compare every action of the default image on both engines'
	echo 'make test-boot  boot on every platform, and from a stick on every bus that a firmware knows'
	echo 'make test-nights   a month of nights on a small project'
	echo 'make test-image  make the container image of the tool, and a night in it'
	echo 'make test-older-go  build with another version of Go'
	echo 'make test-farm  build on a build farm, with faults planted in it'
	echo 'make farm    start a build farm on this machine, until Ctrl-C'
	echo 'make audit-full    audit the build in out/ by all means, and show the matrix; takes hours'
	echo 'make unit-pythons   the unit tests on every other Python that the package is for'
	echo 'make fuzz    throw bytes at every parser; ARGS="--seconds 60 --target NAME"'
	echo 'make bench   measure; ARGS="--rounds 3" for medians, ARGS=--smoke to see that it works'
	echo 'make scale   how the build would scale on a farm; ARGS="--out out" for the times of that build'
	echo 'make counts  put what the image in out/ consists of into README.md'
	echo 'make reapi   compile the definition of the Remote Execution API'
	echo 'make picture draw docs/session.svg from what the tests of booting recorded'
	echo 'make fmt     format the Python code, mend what can be mended'
	echo 'make setup-nightly  install what `orchestrate nightly` needs'
	echo 'make image   make a container image of the tool, twice, and compare; ARGS=--once'
	echo 'make relock-image  pin what that image consists of'
	echo 'make relock  pin the newest dependencies in requirements*.lock'
	echo 'make clean   remove .venv and the tools'"'"' caches (not out/, not the store)'

.PHONY: build
build: setup
	@$(BIN)/orchestrate build --engine sandbox $(ARGS)

# What the log tells of the time: the slowest tests, as well as each file of integration tests.
SLOWEST := --durations=30 --durations-min=1

# The other Pythons take their turn beside what needs one processor only. Of integration tests, three
# files run at once whatever the machine has: much of it is waiting, and each may take gigabytes.
.PHONY: test
test: setup-pythons
	@$(without_network)
	# Style and types are checked here, so the unit tests need not do it again.
	export SOURCERY_STYLE_CHECKED=1
	$(begin_on_other_pythons)
	echo '== style'
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	echo '== types'
	$(BIN)/mypy
	echo '== unit tests, without a network'
	"$${netless[@]}" $(BIN)/python -m pytest tests/unit -n 2 --dist loadfile $(SLOWEST) $(ARGS)
	echo '== unit tests on the other Pythons'
	$(end_on_other_pythons)
	echo '== integration tests'
	$(BIN)/python -m pytest tests/integration -m 'not long' -n 3 $(SLOWEST) $(ARGS)

.PHONY: unit
unit: setup-tests
	@$(without_network)
	"$${netless[@]}" $(BIN)/python -m pytest tests/unit $(ARGS)

# What `make test` compares for a small project and one architecture, the engines with each other and
# with a build elsewhere, for the default image.
.PHONY: test-engines
test-engines: setup-tests
	@SOURCERY_TEST_ALL_ARCHITECTURES=1 $(BIN)/python -m pytest \
		tests/integration/test_build_docker.py tests/integration/test_elsewhere.py $(ARGS)

# The session on all platforms, and a stick on every bus that a firmware knows: `make test` has one
# machine less, and one for most buses.
.PHONY: test-boot
test-boot: setup-tests
	@SOURCERY_TEST_ALL_BUSES=1 $(BIN)/python -m pytest tests/integration/test_boot.py $(ARGS)

# A month of nights on a small project, with what can go wrong in them: as root, since disks are mounted.
# All its nights are one fixture, so what hangs is told of later than elsewhere.
.PHONY: test-nights
test-nights: setup-tests
	@$(BIN)/python -m pytest tests/integration/test_month.py -o faulthandler_timeout=7200 $(ARGS)

# The container image of the tool, made as `make image` does, on a container engine; a night in it.
.PHONY: test-image
test-image: setup-tests
	@$(call packages,$(IMAGE_PROGRAMS))
	$(BIN)/python -m pytest tests/integration/test_tool_image.py -m long $(ARGS)

# A toolchain of another version, three times over, with its image: as long as a build of the default.
.PHONY: test-older-go
test-older-go: setup-tests
	@$(BIN)/python -m pytest tests/integration/test_specs.py -m long $(ARGS)

# Everything that can be proved of the build in out/: every step again on both engines, every foreign
# toolchain built by its own programs, every root. What was interrupted goes on where it was.
.PHONY: audit-full
audit-full: setup-tests
	@$(BIN)/python -m tests.audit_full $(ARGS)

# A build farm on this machine, as root: a server and two nodes without a network. `make farm` starts
# one for a person, until Ctrl-C; the other runs what is tested with one.
.PHONY: farm
farm: setup-tests
	@$(BIN)/python -m tests.real_farm $(ARGS)

.PHONY: test-farm
test-farm: setup-tests
	@$(BIN)/python -m pytest tests/integration/test_farm.py tests/integration/test_farm_isolation.py \
		tests/integration/test_remote_isolation.py -m long -o faulthandler_timeout=7200 $(ARGS)

# What `containers/remote/reapi.proto` is compiled to, which is checked in.
.PHONY: reapi
reapi: setup-tests
	@$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. containers/remote/reapi.proto

.PHONY: unit-pythons
unit-pythons: setup-pythons
	@$(without_network)
	$(begin_on_other_pythons)
	$(end_on_other_pythons)

.PHONY: bench
bench: setup-bench
	@$(BIN)/python -m bench $(ARGS)

# Simulated, from what one build recorded: nothing is built.
.PHONY: scale
scale: setup
	@$(BIN)/python -m bench.scale $(ARGS)

# Every parser for some seconds; ARGS="--seconds 60 --target NAME" for longer, and for one.
.PHONY: fuzz
fuzz: setup-fuzz
	@$(FUZZ)/bin/python -m tests.fuzz $(ARGS)

# A container image of the tool itself in dist/, made twice under different conditions and compared.
.PHONY: image
image: setup-image
	@$(BIN)/python -m orchestrator.tool_image $(ARGS)

# The Debian packages of that image, as the suite has them today.
.PHONY: relock-image
relock-image: setup-image
	@$(BIN)/python -m orchestrator.tool_image --relock $(ARGS)

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
	@rm -rf .venv $(PYTHONS) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: setup
setup:
	@$(call packages,$(RUN_PROGRAMS))
	$(call environment,run,requirements-build.lock requirements.lock)

# What `orchestrate nightly` runs with: the sandbox, and machines to boot on.
.PHONY: setup-nightly
setup-nightly:
	@$(call packages,$(RUN_PROGRAMS) $(BOOT_PROGRAMS))
	$(call environment,run,requirements-build.lock requirements.lock)

.PHONY: setup-image
setup-image:
	@$(call packages,$(IMAGE_PROGRAMS))
	$(call environment,run,requirements-build.lock requirements.lock)

.PHONY: setup-tests
setup-tests:
	@$(call packages,$(TEST_PROGRAMS))
	$(call environment,dev,requirements-dev.lock)

# The same, and beside it an environment for each other Python that pyproject.toml names. One that
# this machine does not have is said, loudly, and is no error.
PYTHONS := .cache/pythons
.PHONY: setup-pythons
setup-pythons:
	@$(call packages,$(TEST_PROGRAMS))
	first=$$python
	found=$$("$$first" -I .ci/other_pythons.py pyproject.toml)
	running=()
	# Whatever fails: nothing that installs is left behind.
	trap wait EXIT
	while read -r version python; do
		[ -n "$$version" ] || continue
		if [ -z "$$python" ]; then
			echo "== NO PYTHON $$version HERE: nothing is tested with it" >&2
			rm -rf $(PYTHONS)/$$version
			continue
		fi
		(
			$(call environment_in,$(PYTHONS)/$$version,dev,requirements-dev.lock)
		) &
		running+=("$$!")
	done <<< "$$found"
	python=$$first
	$(call environment,dev,requirements-dev.lock)
	for one in $${running[@]+"$${running[@]}"}; do wait "$$one"; done

.PHONY: setup-bench
setup-bench:
	@$(call packages,$(BENCH_PROGRAMS))
	$(call environment,run,requirements-build.lock requirements.lock)

# An environment of its own: what fuzzes looks into every module that it imports. Without a wheel of
# it for this Python, there is the plain engine, which the output names.
FUZZ := .cache/fuzz
.PHONY: setup-fuzz
setup-fuzz:
	@$(call packages,)
	$(call environment_in,$(FUZZ),dev,requirements-dev.lock)
	if ! grep -qx fuzz $(FUZZ)/made; then
		if $(FUZZ)/bin/python -I .ci/pip_install.py --quiet --require-hashes --no-deps \
				--only-binary :all: --requirement requirements-fuzz.lock; then
			echo fuzz >> $(FUZZ)/made
		else
			echo "== NO ATHERIS FOR $$("$$python" -V): inputs are made without looking at coverage;" \
				"PYTHON=python3.11 uses another Python" >&2
		fi
	fi

# The newest versions that pyproject.toml allows, with the hashes of all their files. No address of
# an index gets into the files: any index that serves these bytes will do.
RELOCK_OPTIONS := --quiet --upgrade --generate-hashes --allow-unsafe --strip-extras --no-header \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --annotation-style=line
.PHONY: relock
relock: setup
	@$(BIN)/python -m venv --clear .cache/relock
	.cache/relock/bin/python -I .ci/pip_install.py --quiet pip-tools
	compile() {
		.cache/relock/bin/pip-compile $(RELOCK_OPTIONS) "$$@" pyproject.toml
	}
	compile -o requirements.lock
	compile -c requirements.lock --extra dev -o requirements-dev.lock
	compile -c requirements-dev.lock --only-build-deps --build-deps-for editable \
		--build-deps-for wheel -o requirements-build.lock
	extra='import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))'
	extra+='["project"]["optional-dependencies"]["fuzz"], sep="\n")'
	.cache/relock/bin/python -c "$$extra" | .cache/relock/bin/pip-compile $(RELOCK_OPTIONS) \
		-c requirements-dev.lock -o requirements-fuzz.lock -
	head() { sed -i "1i # $$2, each with the hashes of all its files; made by \`make relock\`." "$$1"; }
	head requirements.lock 'What the project runs with'
	head requirements-dev.lock 'What the project runs, is tested and is built with'
	head requirements-fuzz.lock 'What the parsers are fuzzed with besides'
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

environment = $(call environment_in,.venv,$(1),$(2))

# The environment $(1) with the locked dependencies of $(3) and the project itself; $(2) names that
# set. Done anew where a lock, the Python or the checkout's place is not what it was.
define environment_in
print="$(CURDIR) $$("$$python" -V) $$(cat pyproject.toml requirements*.lock | cksum)"
if [ "$$(head -n 1 $(1)/made 2>/dev/null)" != "$$print" ]; then
	echo "== making $(1)"
	"$$python" -m venv --clear $(1)
	echo "$$print" > $(1)/made
fi
if ! grep -qx -e '$(2)' -e dev $(1)/made; then
	echo "== installing the dependencies ($(2)) into $(1)"
	$(1)/bin/python -I .ci/pip_install.py --quiet --require-hashes $(addprefix -r ,$(3))
	$(1)/bin/python -I .ci/pip_install.py --quiet --no-index --no-deps --no-build-isolation \
		--editable .
	echo '$(2)' >> $(1)/made
fi
endef

# Begins the unit tests on all other Pythons at once; what each says goes into a file.
define begin_on_other_pythons
running=()
trap 'for one in $${running[@]+"$${running[@]}"}; do kill "$${one#* }" 2>/dev/null || true; done' EXIT
for place in $(PYTHONS)/*/; do
	[ -x "$$place/bin/python" ] || continue
	version=$$(basename "$$place")
	SOURCERY_STYLE_CHECKED=1 "$${netless[@]}" "$$place/bin/python" -m pytest tests/unit -q \
		-p no:cacheprovider -m 'not once' --hypothesis-profile=few $(ARGS) \
		> "$(PYTHONS)/$$version.log" 2>&1 &
	running+=("$$version $$!")
done
endef

# Waits for them; shows everything of one that fails.
define end_on_other_pythons
failed=0
for one in $${running[@]+"$${running[@]}"}; do
	if wait "$${one#* }"; then
		echo "Python $${one%% *}: $$(tail -n 1 "$(PYTHONS)/$${one%% *}.log")"
	else
		failed=1
		cat "$(PYTHONS)/$${one%% *}.log" >&2
		echo "== the unit tests fail on Python $${one%% *}" >&2
	fi
done
running=()
[ "$$failed" = 0 ]
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
