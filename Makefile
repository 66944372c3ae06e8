# Drover. As root on a fresh Debian 12 or 13 machine: `make demo`, `make test`.
#
#   make deps      install what lab/packages.txt lists, and Go when there is none
#   make build     drover, droverd, drover-guest and drover-lab in build/bin
#   make install   drover and droverd with man pages, completion and unit into DESTDIR (as root)
#   make guest     kernel and initramfs of the lab's virtual machines in build/guest
#   make demo      deps and build, then raise the lab and move a running VM there and back
#   make test      vet, staticcheck, unit tests with the race detector, lab tests (as root), fuzzing
#   make bench     measure moves beside libvirt's own, both generations of QEMU (as root, some hours)
#   make bench-quick   the same in a few minutes: two links, two guests, one round
#   make bench-directory   measure the directory side: 500 hosts, 10,000 users (as root)
#   make faults    break things at every phase of a move, some 550 cases, and write docs/faults.md (as root, some hours)
#   make soak      200 moves over three hosts with faults at random points (as root, up to an hour)
#   make doctor-matrix   break one thing after the other in a lab, and see whether the doctor finds and cures it (as root)
#   make lab-up    raise the lab "demo"; make lab-down removes every trace of it
#   make clean     remove build/

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

# Debian's Go sets this to local and is older than go.mod asks for.
export GOTOOLCHAIN ?= auto

BUILD := build
FUZZTIME ?= 10s
TESTFLAGS ?=
UID := $(shell id -u)

.PHONY: all deps build install guest demo test lint programs unit unit-labtest unit-others others fuzz bench bench-quick bench-report bench-directory doctor-matrix faults faults-report soak lab-up lab-down clean

all: build

deps:
	lab/install-packages.sh lab/packages.txt

# Static, so that the programs run in every member of the lab, whatever its C library.
build:
	CGO_ENABLED=0 go build -trimpath -o $(BUILD)/bin/ ./cmd/...

DESTDIR ?=
PREFIX ?= /usr
SHARE = $(DESTDIR)$(PREFIX)/share

# Builds nothing by itself, so that root needs no Go: make build && sudo make install. Configuration that is there stays.
install:
	install -D -m 0755 -t $(DESTDIR)$(PREFIX)/bin $(BUILD)/bin/drover $(BUILD)/bin/droverd
	install -D -m 0644 -t $(SHARE)/man/man1 docs/man/*.1
	install -D -m 0644 -t $(SHARE)/man/man8 docs/man/*.8
	mkdir -p $(SHARE)/bash-completion/completions $(SHARE)/zsh/vendor-completions $(SHARE)/fish/vendor_completions.d
	$(BUILD)/bin/drover completion bash > $(SHARE)/bash-completion/completions/drover
	$(BUILD)/bin/drover completion zsh > $(SHARE)/zsh/vendor-completions/_drover
	$(BUILD)/bin/drover completion fish > $(SHARE)/fish/vendor_completions.d/drover.fish
	install -D -m 0644 -t $(SHARE)/doc/drover docs/*.md
	install -D -m 0644 -t $(DESTDIR)/lib/systemd/system dist/*.service dist/*.timer
	test -e $(DESTDIR)/etc/drover/drover.yaml || install -D -m 0644 -t $(DESTDIR)/etc/drover dist/drover.yaml

guest: build
	$(BUILD)/bin/drover-lab guest --assets $(BUILD)

# First what is quickest to fail. The long lab tests wait more than they compute, so all else goes beside them.
test: deps
	$(MAKE) lint
	$(MAKE) programs
	$(MAKE) -j2 unit-labtest others

lint:
	go vet ./...
	go tool staticcheck ./...

# As root, a machine on which no lab can be raised is a failure and not a reason to skip.
ifeq ($(UID),0)
unit-labtest unit-others: export DROVER_LAB := 1
programs: guest
endif
programs: build
	CGO_ENABLED=0 go build -trimpath -tags faultinject -o $(BUILD)/bin/droverd-faultinject ./cmd/droverd

unit: programs
	$(MAKE) -j2 unit-labtest unit-others

unit-labtest:
	go test -race -timeout 80m $(TESTFLAGS) ./lab/labtest

# One package at a time: the lab tests of many would share the cores that their guests are emulated on.
unit-others:
	go test -race -p 1 -timeout 40m $(TESTFLAGS) $$(go list ./... | grep -v /lab/labtest$$)

others: unit-others
	nice $(MAKE) fuzz

fuzz:
	scripts/fuzz.sh $(FUZZTIME)

# Installs what it needs, raises the lab, moves a running VM there and back, writes build/demo.json.
demo: deps
	$(MAKE) build guest
	$(BUILD)/bin/drover-lab demo

# BENCHFLAGS=--resume goes on with a run that was cut short.
BENCHFLAGS ?=
bench: build guest
	$(BUILD)/bin/drover-lab bench --storage --out $(BUILD)/bench.json $(BENCHFLAGS)
	$(BUILD)/bin/drover-lab bench --storage --out $(BUILD)/bench-trixie.json --rootfs trixie $(BENCHFLAGS)
	$(MAKE) bench-report

bench-report:
	$(BUILD)/bin/drover-lab bench-report --in $(BUILD)/bench.json --in $(BUILD)/bench-trixie.json

bench-quick: build guest
	$(BUILD)/bin/drover-lab bench --quick --rounds 1 --out $(BUILD)/bench-quick.json $(BENCHFLAGS)

# A domain of 500 hosts and 10,000 users; writes build/bench-directory.json, fails when a target is missed.
bench-directory: build
	$(BUILD)/bin/drover-lab bench-directory

# FAULTSFLAGS=--resume goes on with a run that was cut short, and tries again what was not as promised.
FAULTSFLAGS ?=
faults: build guest
	CGO_ENABLED=0 go build -trimpath -tags faultinject -o $(BUILD)/bin/droverd-faultinject ./cmd/droverd
	$(BUILD)/bin/drover-lab faults --out $(BUILD)/faults.json $(FAULTSFLAGS)
	$(MAKE) faults-report

faults-report:
	$(BUILD)/bin/drover-lab faults-report --in $(BUILD)/faults.json

# SOAKFLAGS="--seed 42" makes a run again. Writes build/soak.json; fails when a promise was broken or something has grown.
SOAKFLAGS ?=
soak: build guest
	CGO_ENABLED=0 go build -trimpath -tags faultinject -o $(BUILD)/bin/droverd-faultinject ./cmd/droverd
	$(BUILD)/bin/drover-lab soak --out $(BUILD)/soak.json $(SOAKFLAGS)

# DOCTORFLAGS='--cases names --quick' runs some of it.
DOCTORFLAGS ?=
# droverd-other is the agent by another version, for the case of that name.
doctor-matrix: build guest
	CGO_ENABLED=0 go build -trimpath -ldflags '-X drover/internal/version.release=0.0.1' -o $(BUILD)/bin/droverd-other ./cmd/droverd
	$(BUILD)/bin/drover-lab doctor-scale
	$(BUILD)/bin/drover-lab doctor-matrix $(DOCTORFLAGS)
	$(BUILD)/bin/drover-lab doctor-report

lab-up: build guest
	$(BUILD)/bin/drover-lab up

lab-down: build
	$(BUILD)/bin/drover-lab down

clean:
	rm -rf $(BUILD)
