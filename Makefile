# SPDX-License-Identifier: BSD-2-Clause
#
# walscope: everything is built under $(BUILD). `make help` lists the targets.

BUILD   ?= build
CC      ?= gcc
CLANG   ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /usr/local/sbin/bpftool) bpftool)
DESTDIR ?=
PREFIX  ?= /usr/local
SAN     ?=

VERSION := 0.1.0
ARCH    := $(shell uname -m)
BPF_ARCH := $(patsubst x86_64,x86,$(patsubst aarch64,arm64,$(ARCH)))

# V=1 shows the commands.
Q := $(if $(V),,@)
say = @$(if $(V),true,printf '  %-8s %s\n' '$(1)' '$(2)')

PKGS := libbpf libelf libdw capstone liblzma zlib libzstd liblz4 libxxhash jansson libcap
CFLAGS ?= -O2 -g
WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2
ifneq ($(SAN),)
SANFLAGS := -fsanitize=address,undefined,float-cast-overflow$(FUZZ) -fno-sanitize-recover=all -fno-omit-frame-pointer
endif
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE -DWS_VERSION='"$(VERSION)"' $(WARN) -fno-strict-aliasing \
	-Isrc -Ibpf -I$(BUILD) $(PKG_CFLAGS) $(SANFLAGS) $(CFLAGS)
PKG_CFLAGS = $(shell pkg-config --cflags $(PKGS))
PKG_LIBS   = $(shell pkg-config --libs $(PKGS))

BPF_SRC  := $(wildcard bpf/*.bpf.c)
BPF_OBJ  := $(BPF_SRC:bpf/%.bpf.c=$(BUILD)/bpf/%.bpf.o)
SKEL     := $(BPF_SRC:bpf/%.bpf.c=$(BUILD)/skel/%.skel.h)
LIB_SRC  := $(filter-out src/main.c,$(shell find src -name '*.c' | LC_ALL=C sort))
LIB_OBJ  := $(LIB_SRC:%.c=$(BUILD)/%.o)
UNIT_SRC := $(shell find tests/unit -name '*_test.c' | LC_ALL=C sort)
UNIT_BIN := $(UNIT_SRC:%.c=$(BUILD)/%)
# Helpers of the tests: tests/lib/*.c is linked into every unit test, tests/tools/*.c are programs.
TLIB_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/lib/*.c))
TOOL_BIN := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/tools/*.c))
BENCH_BIN := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/bench/*.c))
# libFuzzer programs, built by clang: `make fuzz`.
FUZZ_BIN := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/fuzz/*_fuzz.c))
FUZZ_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/fuzz/fuzz*.c))
# What they are made of is compiled with the other tests, too, by either compiler. (server.c is a seed.)
FUZZ_ALL := $(FUZZ_OBJ) $(FUZZ_BIN:%=%.o)
# Tests that need root: built with the others, run by scripts/check alone.
E2E_BIN := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/e2e/*_test.c))

.PHONY: all help demo check unit bench faults kernels matrix truth fuzz fuzz-programs tests install clean bpf
.DELETE_ON_ERROR:
.SECONDARY:

all: $(BUILD)/walscope

help:
	@echo 'make              build $(BUILD)/walscope'
	@echo 'make demo         ./scripts/demo: the main job on a throw-away primary and standbys'
	@echo 'make check        ./scripts/check: build everything and pass the tests'
	@echo 'make unit         build and run the unit tests alone (no root)'
	@echo 'make faults       long live tests: load, loss, kills, upgrades, faults and their verdicts (root); no part of make check'
	@echo 'make matrix       the live tests with Debian'"'"'s 13, 15, 17 and 18 (root); no part of make check'
	@echo 'make truth        recovery of names against servers built for it (hours); the last part of make matrix'
	@echo 'make kernels      the programs on Debian'"'"'s 5.10, 6.1 and 6.12 under qemu, losses of power, a quota of control groups v2 (root); no part of make check'
	@echo 'make fuzz         hostile binaries and recordings, FUZZ_SECONDS=30 a target; no part of make check'
	@echo 'make bench        attach and detach times, cost per hit of each program'
	@echo 'make install      into $$(DESTDIR)$$(PREFIX) (now: $(DESTDIR)$(PREFIX))'
	@echo 'make clean        remove $(BUILD)/'
	@echo 'Variables: V=1 shows commands; CC=clang; SAN=1 for ASan and UBSan; BUILD=dir'

demo:
	./scripts/demo
check:
	./scripts/check

$(BUILD)/bpf/%.bpf.o: bpf/%.bpf.c Makefile
	$(call say,BPF,$<)
	@mkdir -p $(@D)
	$(Q)$(CLANG) -g -O2 -target bpf -mcpu=v2 -D__TARGET_ARCH_$(BPF_ARCH) \
		-Wall -Wextra -Werror -Wno-unused-parameter -Wno-address-of-packed-member -Ibpf \
		-idirafter /usr/include/$(ARCH)-linux-gnu -MMD -MP -c $< -o $@

$(BUILD)/skel/%.skel.h: $(BUILD)/bpf/%.bpf.o
	$(call say,SKEL,$@)
	@mkdir -p $(@D)
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf > $@

$(BUILD)/%.o: %.c Makefile | $(SKEL)
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/libwalscope.a: $(LIB_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/walscope: $(BUILD)/src/main.o $(BUILD)/libwalscope.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(SANFLAGS) $(CFLAGS) $(LDFLAGS) -Wl,--build-id $^ $(PKG_LIBS) -o $@

$(BUILD)/tests/unit/%_test: $(BUILD)/tests/unit/%_test.o $(TLIB_OBJ) $(BUILD)/libwalscope.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(SANFLAGS) $(CFLAGS) $(LDFLAGS) $^ $(PKG_LIBS) -lcmocka -o $@

$(BUILD)/tests/tools/%: $(BUILD)/tests/tools/%.o $(BUILD)/libwalscope.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(SANFLAGS) $(CFLAGS) $(LDFLAGS) $^ $(PKG_LIBS) -o $@
$(BUILD)/tests/bench/%: $(BUILD)/tests/bench/%.o $(BUILD)/libwalscope.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(SANFLAGS) $(CFLAGS) $(LDFLAGS) $^ $(PKG_LIBS) -o $@

$(BUILD)/tests/e2e/%: $(BUILD)/tests/e2e/%.o $(BUILD)/libwalscope.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(SANFLAGS) $(CFLAGS) $(LDFLAGS) $^ $(PKG_LIBS) -lcmocka -o $@

bpf: $(SKEL)
tests: $(UNIT_BIN) $(TOOL_BIN) $(E2E_BIN) $(BENCH_BIN) $(FUZZ_ALL)

$(BUILD)/tests/fuzz/%_fuzz: $(BUILD)/tests/fuzz/%_fuzz.o $(FUZZ_OBJ) $(BUILD)/libwalscope.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(subst fuzzer-no-link,fuzzer,$(SANFLAGS)) $(CFLAGS) $(LDFLAGS) $^ $(PKG_LIBS) -o $@

# The seeds of walscope's own formats.
$(BUILD)/tests/fuzz/seeds: $(BUILD)/tests/fuzz/seeds.o $(TLIB_OBJ) $(BUILD)/libwalscope.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(SANFLAGS:%,fuzzer-no-link=%) $(CFLAGS) $(LDFLAGS) $^ $(PKG_LIBS) -lcmocka -o $@

fuzz-programs: $(FUZZ_BIN) $(BUILD)/tests/fuzz/seeds

# Each unit test is a program of its own; all run, then the worst result counts.
unit: $(UNIT_BIN)
	$(Q)rc=0; for t in $(UNIT_BIN) tests/gdb/run; do $$t || rc=1; done; exit $$rc

bench: $(BUILD)/walscope $(BENCH_BIN) $(TOOL_BIN)
	./scripts/bench

# What building takes is installed first, as scripts/check does it.
kernels:
	./scripts/setup build run test kernels
	$(MAKE) $(BUILD)/walscope tests
	WALSCOPE=$(abspath $(BUILD)/walscope) ./tests/kernels/run

matrix:
	./scripts/setup build run test matrix
	$(MAKE) $(BUILD)/walscope
	WALSCOPE=$(abspath $(BUILD)/walscope) ./tests/matrix/run
	$(MAKE) truth

# Servers are built once and kept where tests/matrix/run keeps packages.
truth:
	./scripts/setup build test matrix
	$(MAKE) $(BUILD)/tests/tools/resolve
	RESOLVE=$(abspath $(BUILD)/tests/tools/resolve) ./tests/matrix/truth -v \
		--build "$${WALSCOPE_MATRIX_CACHE:-$$HOME/.cache/walscope-matrix}/truth"

faults:
	./scripts/setup build run test faults
	$(MAKE) $(BUILD)/walscope
	WALSCOPE=$(abspath $(BUILD)/walscope) ./tests/faults/run

# libFuzzer comes with clang. FUZZ_SECONDS: how long each target runs; FUZZ_TARGET: one alone.
fuzz:
	./scripts/setup build test fuzz
	$(MAKE) CC=clang SAN=1 FUZZ=,fuzzer-no-link BUILD=$(BUILD)/fuzz fuzz-programs
	./tests/fuzz/run $(BUILD)/fuzz $(FUZZ_TARGET)

install: $(BUILD)/walscope
	install -D -m 0755 $(BUILD)/walscope $(DESTDIR)$(PREFIX)/sbin/walscope
	for page in docs/man/*.8; do \
		install -D -m 0644 $$page $(DESTDIR)$(PREFIX)/share/man/man8/$$(basename $$page); done
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/walscope/gdb scripts/gdb/walscope.py
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/walscope/gdb/walscope_gdb scripts/gdb/walscope_gdb/*.py
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's,/usr/local/sbin/,$(PREFIX)/sbin/,' scripts/systemd/walscope-flight.service \
		> $(DESTDIR)$(PREFIX)/lib/systemd/system/walscope-flight.service
	chmod 0644 $(DESTDIR)$(PREFIX)/lib/systemd/system/walscope-flight.service

clean:
	rm -rf $(BUILD)

# $(BUILD)/majors holds other systems' files: scripts/check.
-include $(shell find $(BUILD) -path $(BUILD)/majors -prune -o -name '*.d' -print 2>/dev/null)
