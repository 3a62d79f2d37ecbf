# Every target says in one line what it is for; `make` alone prints them. The work is done by scripts/, so that it can be read and run
# without make. Everything that is built goes to artifacts/ and nowhere else.

CONFIGURATION ?= Release
DESTDIR ?=
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc

.DEFAULT_GOAL := help
.PHONY: help deps build run test test-survival test-model bench lint format install uninstall clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo 'Variables: CONFIGURATION=$(CONFIGURATION) DESTDIR=$(DESTDIR) PREFIX=$(PREFIX) SYSCONFDIR=$(SYSCONFDIR) T="Engine Linux" (test only these)'

deps: ## install the Debian packages that building, running and testing need and that are missing
	@scripts/deps.sh build run test lint

build: ## build the daemon, the libraries and the shim into artifacts/
	@scripts/build.sh $(CONFIGURATION)

run: ## start the manager, put real programs under it and show the faults it serves, until Ctrl-C
	@scripts/run.sh

test: ## install what the tests need, build and run every test
	@scripts/test.sh $(T)

test-survival: ## kill the manager 200 times under clients that know every byte of their memory; SEED=, KILLS=, CLIENTS=
	@SEED='$(SEED)' KILLS='$(KILLS)' CLIENTS='$(CLIENTS)' scripts/test-survival.sh

test-model: ## do random things to clients and the manager, and hold every page against a model; SEED=, TIME= (seconds a run)
	@UFFD_MODEL_SEED='$(SEED)' UFFD_MODEL_SECONDS='$(TIME)' FILTER=EndToEnd.Tests.Model scripts/test-survival.sh

bench: ## compare the manager with the C reference handler; the table goes to artifacts/bench/
	@scripts/bench.sh

lint: ## report every finding of compilers, formatters, linters and fences
	@scripts/lint.sh

format: ## rewrite C# and C files in the house format
	@scripts/format.sh

install: ## install below $(DESTDIR)$(PREFIX)
	@DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' SYSCONFDIR='$(SYSCONFDIR)' scripts/install.sh

uninstall: ## remove what install put there
	@DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' SYSCONFDIR='$(SYSCONFDIR)' scripts/uninstall.sh

clean: ## remove artifacts/
	@rm -rf artifacts
