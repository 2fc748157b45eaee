# What people do here. Every target makes what it needs first; on a fresh Debian 12 that is everything.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# One thing after the other, but for those that are said to go side by side.
ifndef SIDE_BY_SIDE
.NOTPARALLEL:
endif

export LC_ALL := C.UTF-8
unexport PYTHONPATH

BIN := .venv/bin
READY := .build/ready
PLAYBOOK := $(BIN)/ansible-playbook
# The lab's own playbooks work on this machine, and there is no inventory before the lab is up.
# Who else makes something of it waits.
LAB_PLAYBOOK = flock .build/lab.lock $(PLAYBOOK) $(if $(wildcard .lab/inventory.yml),,-i localhost,)

.PHONY: help
help:  ## Show this list
	@echo 'make TARGET, where TARGET is:'
	@sed -n 's/^\([a-z]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14 | sed 's/^/  /'

# --- What it is for

.PHONY: demo
demo: lab  ## Build the lab if needed, and show the main job on it
	$(PLAYBOOK) playbooks/demo.yml

.PHONY: lab
lab: $(READY)  ## Build and start the lab: a whole mesh on this machine
	$(LAB_PLAYBOOK) playbooks/lab.yml
	$(PLAYBOOK) playbooks/lab_backends.yml

# --- Gates

.PHONY: test
test: $(READY)  ## Run every gate: molecule, unit, integration, sanity, lint
	@echo 'Sanity and lint only read, beside all others, and show at the end what they printed; molecule and unit run side by side, and show it when they are done.'
	tests/run/beside running sanity lint

# The gates that run the code.
.PHONY: running
running: $(READY)
	$(MAKE) SIDE_BY_SIDE=yes --jobs=2 --output-sync=target molecule unit
	$(MAKE) LAB_STANDS=yes integration

.PHONY: quick
quick: $(READY)  ## Run the gates of daily work: unit, lint
	$(MAKE) SIDE_BY_SIDE=yes --jobs=2 --output-sync=target unit lint

.PHONY: unit
unit: root  ## Run the unit tests, where all is installed that the roles install
	tests/run/inside python -m pytest -n 3 --dist loadfile tests/unit

.PHONY: lint
lint: $(READY)  ## Check style, documentation and changelog
	tests/run/lint

.PHONY: sanity
sanity: $(READY)  ## Run ansible-test sanity with nothing ignored
	tests/run/sanity

# The number of labs that share them, 1 or 2; with two they are done sooner, on a machine that has nothing else to do.
LABS ?= 2
ifeq ($(filter 1 2,$(LABS)),)
$(error LABS is the number of labs that share the tests, 1 or 2)
endif
# With two labs the long ones come first, so that both are done at about the same time.
LONGEST := $(patsubst %,tests/integration/test_%.py,vpn failures clones lifecycle cluster isolation rotation names module_truth live drain stranger)
SHARED := -n 2 --dist loadfile --no-loadscope-reorder $(LONGEST) $(filter-out $(LONGEST),$(wildcard tests/integration/test_*.py))

# LAB_STANDS=yes: where molecule has built the lab already.
.PHONY: integration
integration: $(if $(LAB_STANDS),,lab)  ## Run the tests that use the lab and a second one beside it (LABS=1: without), with the oldest Ansible that the collection works with
	.venv-oldest/bin/python -m pytest --durations 20 $(if $(filter 2,$(LABS)),$(SHARED),tests/integration)

.PHONY: molecule
molecule: lab  ## Run the molecule scenarios on the lab
	PATH="$(CURDIR)/$(BIN):$$PATH" molecule test --scenario-name default
	PATH="$(CURDIR)/$(BIN):$$PATH" molecule test --scenario-name lab

# Not a gate of make test: without KVM it takes a quarter of an hour.
.PHONY: vms
vms: lab  ## Run the molecule scenario on virtual machines with Debian's own kernel
	PATH="$(CURDIR)/$(BIN):$$PATH" molecule test --scenario-name qemu

# Not a gate of make test: with 20 rounds (VMATRIX_ROUNDS) and 40 cases (VMATRIX_CASES) it takes more than an hour.
.PHONY: faults
faults: lab  ## Have two operators, and faults, come in between operations on the lab
	.venv-oldest/bin/python -m pytest -rA --durations 0 tests/faults

.PHONY: bench
bench: lab  ## Measure the mesh on the lab, in ratios
	tests/run/bench

# --- Set-up

.PHONY: root
root: $(READY)  ## Build the root file system of the lab's hosts, and boot nothing
	$(LAB_PLAYBOOK) playbooks/lab_build.yml

.PHONY: setup
setup: $(READY)  ## Install what this machine needs, and nothing else

$(READY): bindep.txt requirements.txt tests/requirements.txt tests/constraints.txt tests/oldest.txt tests/run/setup
	tests/run/setup
	mkdir -p $(@D)
	touch $@

.PHONY: clean
clean:  ## Take the lab down and remove what was built; keep downloads
	tests/run/clean

.PHONY: distclean
distclean:  ## Take the lab down and remove downloads too
	tests/run/clean --downloads
