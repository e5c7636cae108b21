# SPDX-License-Identifier: MIT
#
# One Makefile for everything; `make help-all` lists the targets.  Objects go to
# build/$(V)/, one directory per variant (plain, asan, cover, …).  CC, CFLAGS,
# LDFLAGS, PREFIX and DESTDIR are yours to set; WERROR=1 makes warnings fatal.

# The one place for the number is the first line of NEWS.
VERSION := $(shell sed -n '1s/^nclust \([^ ]*\) .*/\1/p' NEWS)
V = plain

CC = gcc
# Compiles what was compiled before in no time, where it is there; what was not is preprocessed
# once only, since -MMD says what it is made of.
CCACHE := $(shell command -v ccache 2>/dev/null)
export CCACHE_DEPEND = 1
# Small rather than fast: nclust is not in the way of a request, and its code is
# most of its memory.  Frames for debuggers are in -g.
CFLAGS = $(SIZE) -g -fno-asynchronous-unwind-tables -fno-unwind-tables
LDFLAGS =
WERROR ?=
PREFIX = /usr/local
DESTDIR =

bindir = $(PREFIX)/bin
mandir = $(PREFIX)/share/man
docdir = $(PREFIX)/share/doc/nclust
unitdir = $(PREFIX)/lib/systemd/system
bashdir = $(PREFIX)/share/bash-completion/completions
zshdir = $(PREFIX)/share/zsh/site-functions

B = build/$(V)

comma := ,

# --- Flags -----------------------------------------------------------------

# $(call try,FLAG…): the flags, if this compiler takes them.
try = $(shell echo 'int main(void) { return 0; }' | \
	$(CC) -Werror $(1) -x c -o /dev/null - 2>/dev/null && echo '$(1)')

WARNINGS = -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wformat=2 -Wvla \
	-Wstrict-prototypes -Wmissing-prototypes -Werror=format-security \
	-Werror=implicit-function-declaration $(if $(WERROR),-Werror)

# gcc has it since 12.
SIZE := $(or $(call try,-Oz),-Os)

# HARDEN= leaves all of it out, for sanitizers and coverage.
HARDEN = 1
ifneq ($(HARDEN),)
# clang before 16 wants the zeroing of variables asked for twice.
ZERO_INIT := $(or $(call try,-ftrivial-auto-var-init=zero),$(call \
	try,-ftrivial-auto-var-init=zero \
	-enable-trivial-auto-var-init-zero-knowing-it-will-be-removed-from-clang))
ARCH_HARDENING := $(call try,-fstack-clash-protection) \
	$(call try,-fcf-protection=full)
HARDENING = -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong \
	-fPIE -fno-strict-overflow -fno-delete-null-pointer-checks \
	$(ZERO_INIT) $(ARCH_HARDENING)
# What leaves a loop needs registers and saves around it: that is bigger.
SMALL := $(call try,-fno-move-loop-invariants -fno-tree-loop-im) $(call try,-malign-data=abi)
PIE = -pie
ifneq ($(STATIC),)
PIE = -static-pie
endif
# The tables are full of pointers: packed, their relocations take 1 KiB, not 20.
PACKED := $(call try,-Wl$(comma)-z$(comma)pack-relative-relocs)
HARDENED_LINK = $(PIE) -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code \
	$(PACKED)
endif

# A child of vfork(2) shares our memory, but not what clang (on since 15) keeps of frames.
SAN_FLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all \
	-fno-omit-frame-pointer $(call try,-fsanitize=$(SAN) \
	-fsanitize-address-use-after-return=never))

# The same bytes, wherever it is built.
ANYWHERE := $(call try,-ffile-prefix-map=/=/)
ALL_CFLAGS = -std=gnu11 $(if $(ANYWHERE),-ffile-prefix-map=$(CURDIR)=.) \
	-D_GNU_SOURCE -Isrc -DNCLUST_VERSION='"$(VERSION)"' \
	$(if $(STATIC),-DNCLUST_STATIC) \
	$(WARNINGS) $(HARDENING) $(SMALL) $(CFLAGS) $(SAN_FLAGS) $(EXTRA_CFLAGS)
ALL_LDFLAGS = $(HARDENED_LINK) $(if $(STATIC),-s) -Wl,--as-needed $(SAN_FLAGS) $(LDFLAGS)
# Most symbols are in the first: the dynamic linker looks there first.
LIBS = -lc -lev -linih -ljansson -lm -lpthread
CHECK_LIBS = -lcheck -lsubunit -lrt -lm -lpthread

# --- What there is ---------------------------------------------------------

SOURCES := $(wildcard src/*.c src/*/*.c src/*/*/*.c)
HEADERS := $(wildcard src/*/*.h src/*/*/*.h)
UNIT_SOURCES := $(wildcard tests/unit/*/test_*.c)
UNIT_FOLDERS := $(sort $(UNIT_SOURCES:tests/unit/%=%))
UNIT_FOLDERS := $(sort $(foreach f,$(UNIT_FOLDERS),$(firstword $(subst /, ,$(f)))))
SIM_SOURCES := $(wildcard tests/sim/*.c)
FLEET_SOURCES := $(wildcard tests/fleet/*.c)
FUZZ_SOURCES := $(wildcard tests/fuzz/fuzz_*.c)
FIXTURE_SOURCES := $(wildcard tests/fixtures/*.c)
BENCH_SOURCES := $(wildcard tests/bench/*.c)
# What writes the lists of the manual, the sample file and the completions.
TOOL_SOURCES := $(wildcard tools/*.c)
C_FILES := $(SOURCES) $(HEADERS) $(wildcard tests/*/*.c tests/*/*.h \
	tests/unit/*/*.c tests/unit/*/*.h tools/*.[ch])

OBJECTS := $(SOURCES:%.c=$(B)/%.o)
MAIN := $(B)/src/main.o
ARCHIVE := $(B)/libnclust.a
UNIT_PROGRAMS := $(UNIT_FOLDERS:%=$(B)/unit/%)
FUZZERS := $(FUZZ_SOURCES:tests/fuzz/%.c=$(B)/fuzz/%)
FIXTURES := $(FIXTURE_SOURCES:tests/fixtures/%.c=build/fixtures/%)
PLAIN_VARIANTS := build/fixtures/plain-static $(if $(filter \
	x86_64-%,$(shell $(CC) -dumpmachine)),build/fixtures/plain-32)
# nclust as another version of itself, or with a fault: for tests of `upgrade`.  Nobody debugs
# them, and to link them without what a debugger wants takes half of the time.
VARIANTS := $(addprefix $(B)/variants/nclust-,next alien crash hang fail die)
BENCHES := $(BENCH_SOURCES:tests/bench/%.c=build/bench/%)
PAGES := $(wildcard man/*.[1-8])
EXAMPLES := $(shell find etc/examples -type f)

# `make VERBOSE=1` shows the whole commands.
ifeq ($(VERBOSE)$(findstring s,$(firstword -$(MAKEFLAGS))),)
say = @echo '  $(1)' $@;
endif

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all unit-programs sim-program fuzz-programs fixtures variants asan-programs \
	asan-nclust bench-programs check nightly soak kernels check-asan unit sim fleet-sim fleet e2e \
	upgrade-from wild fresh lint clang asan valgrind fuzz sequences torture hostile \
	cover mutate mutants format bench man install uninstall dist release deb image \
	package-tests static clean help help-all FORCE

# --- Building --------------------------------------------------------------

all: nclust ### the program, ./nclust (this is the default)

# A variant of its own stays in its directory; only the plain one comes here.
nclust: $(B)/nclust
	$(if $(filter plain,$(V)),cp $< $@.new && mv -f $@.new $@,@:)

# What a supervisor runs once all is well stands together: the kernel maps 64 KiB around
# each page that is touched, and a page that is not touched is no memory of its.  First what
# it runs after memory_settle() while nothing happens, all in the first two of these.
FIRST := main core $(addprefix supervisor/,supervisor instance/lifecycle instance/manager \
	order/order control/outcomes control/clients orphans/write_state workers/s \
	common/registry common/timer) $(addprefix os/,memory clock cgroup pidfd) \
	base supervisor/workers/ supervisor/common/ supervisor/instance/ supervisor/orphans/ \
	supervisor/control/ os/ protocol/ supervisor/
$(B)/nclust: $(foreach d,$(FIRST),$(filter $(B)/src/$(d)%,$(OBJECTS))) $(OBJECTS)
	$(call say,LD)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(B)/describe: $(B)/tools/describe.o $(ARCHIVE)
	$(call say,LD)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(ARCHIVE): $(filter-out $(MAIN),$(OBJECTS)) \
		$(filter-out $(B)/tools/describe.o,$(TOOL_SOURCES:%.c=$(B)/%.o))
	@rm -f $@
	$(call say,AR)$(AR) rcs $@ $^

# Other flags than last time: everything is compiled anew.
$(B)/flags: FORCE
	@mkdir -p $(@D)
	@echo $(call quote,$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS)) | \
		cmp -s - $@ || \
		echo $(call quote,$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS)) >$@
quote = '$(subst ','\'',$(1))'

# The page stands in the program compressed.  Browsers run of it only what has these
# hashes: of all between <script> and </script>, newlines included, and <style>.
PAGE := src/web/page.html
page_hash = sha256-$(or $(shell awk '/^<\/$(1)>/ { inside = 0 } inside; \
	/^<$(1)>/ { inside = 1; print "" }' $(PAGE) | sha256sum | cut -c 1-64 | \
	tr a-f A-F | basenc --decode --base16 | base64),\
	$(error cannot hash $(PAGE): this needs sha256sum and basenc))
$(B)/page.gz: $(PAGE)
	@mkdir -p $(@D)
	$(call say,GZ)gzip -9nc $< >$@
$(B)/src/web/page.o: $(B)/page.gz
$(B)/src/web/page.o: CCACHE = # it would not know of the page
$(B)/src/web/page.o: PAGE_CFLAGS = -DPAGE='"$(B)/page.gz"' -DPAGE_SCRIPT='"$(call \
	page_hash,script)"' -DPAGE_STYLE='"$(call page_hash,style)"'

$(B)/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(call say,CC)$(CCACHE) $(CC) $(ALL_CFLAGS) $(OBJECT_CFLAGS) $(PAGE_CFLAGS) -MMD -MP -c -o $@ $<

# --- Test programs ---------------------------------------------------------

# The tests of a folder of tests/unit are one program.  Those of rooms have the bench of
# room_lib.c, where functions of nclust can be replaced.
BELOW := base cli config core courier logger os protocol
# The functions of rooms that moments.c calls, too.
HOOKS := $(shell grep -oE '[a-z_]+\((child|service|holding|sup|w)[,)]' src/supervisor/moments.c | \
	sed 's/[(].*[),]//' | sort -u)
WRAPPED := $(shell sed -n 's/^REPLACEABLE(\(.*\))/-Wl,--wrap=\1/p' \
	tests/unit/room_replace.c) $(HOOKS:%=-Wl,--wrap=%)
$(B)/tests/unit/room_replace.o: src/supervisor/moments.c
$(B)/tests/unit/room_replace.o: PAGE_CFLAGS = -DHOOKS='$(patsubst %,HOOK(%),$(HOOKS))'
ROOM_OBJECTS := $(B)/tests/unit/room_lib.o $(B)/tests/unit/room_replace.o
.SECONDEXPANSION:
$(B)/unit/%: $$(addprefix $(B)/,$$(addsuffix .o,$$(basename \
		$$(wildcard tests/unit/$$*/*.c)))) \
		$(B)/tests/unit/unit.o $$(if $$(filter $$*,$(BELOW)),,$(ROOM_OBJECTS)) \
		$(ARCHIVE)
	@mkdir -p $(@D)
	$(call say,LD)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -Wl,-z,muldefs \
		$(if $(filter $*,$(BELOW)),,$(WRAPPED)) -o $@ $^ $(LIBS) $(CHECK_LIBS)

# What the core counts is counted again there, too.
$(B)/unit/core $(B)/fleet/fleet: $(B)/tests/sim/recount.o

$(B)/sim/sim: $(SIM_SOURCES:%.c=$(B)/%.o) $(ARCHIVE)
	@mkdir -p $(@D)
	$(call say,LD)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(B)/fleet/fleet: $(FLEET_SOURCES:%.c=$(B)/%.o) $(ARCHIVE)
	@mkdir -p $(@D)
	$(call say,LD)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

# Fuzzers read bytes: what decides and acts on them need not be compiled.
PARSING := $(filter-out $(addprefix $(B)/src/,main% cli/% core/% logger/% \
	courier/% supervisor/% web/%),$(OBJECTS)) $(addprefix $(B)/src/supervisor/, \
	common/carried.o common/variant.o orphans/orphan_state.o)
$(B)/libparsing.a: $(PARSING)
	@rm -f $@
	$(call say,AR)$(AR) rcs $@ $^

$(B)/fuzz/%: $(B)/tests/fuzz/%.o $(B)/libparsing.a
	@mkdir -p $(@D)
	$(call say,LD)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LIBS)

build/fixtures/%: build/plain/tests/fixtures/%.o
	@mkdir -p $(@D)
	$(call say,LD)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^

# The server that knows nothing, without libraries, and as a 32-bit program.
build/fixtures/plain-static: PLAIN_FLAGS = -static
build/fixtures/plain-32: PLAIN_FLAGS = -m32
$(PLAIN_VARIANTS): tests/fixtures/plain.c tests/fixtures/fixture.h
	@mkdir -p $(@D)
	$(call say,CC)$(CC) -std=gnu11 -D_GNU_SOURCE -O1 -g $(WARNINGS) \
		$(PLAIN_FLAGS) $(LDFLAGS) -o $@ $<

# One whose time is what a test says.
VARIANTS += $(B)/variants/nclust-clock
$(B)/variants/nclust-clock: $(OBJECTS) $(B)/tests/variants/clock.o
	@mkdir -p $(@D)
	$(call say,LD)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

VARIANT_next = -DVARIANT_NEXT
VARIANT_alien = -DVARIANT_ALIEN
VARIANT_crash = -DVARIANT_FAULT=FAULT_CHECK_CRASHES
VARIANT_hang = -DVARIANT_FAULT=FAULT_CHECK_HANGS
VARIANT_fail = -DVARIANT_FAULT=FAULT_RESTORE_FAILS
VARIANT_die = -DVARIANT_FAULT=FAULT_TAKEOVER_CRASHES
$(filter-out %-clock,$(VARIANTS)): $(B)/variants/nclust-%: $(OBJECTS)
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(ALL_CFLAGS) $(VARIANT_$*) -c -o $@.o \
		src/supervisor/common/variant.c
	$(call say,LD)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) $(if $(SAN),,-Wl,-S) -o $@ $@.o \
		$(filter-out %/variant.o,$(OBJECTS)) $(LIBS)

build/bench/%: build/plain/tests/bench/%.o
	@mkdir -p $(@D)
	$(call say,LD)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ -lm $(BENCH_LIBS)

build/bench/natsload: BENCH_LIBS = $(if $(wildcard \
	/usr/include/nats/nats.h),-lnats)
build/bench/group: $(ARCHIVE)

build/valgrind/%.so: tests/valgrind/%.c
	@mkdir -p $(@D)
	$(call say,LD)$(CC) $(filter-out -fPIE,$(ALL_CFLAGS)) -fPIC -shared \
		-o $@ $< -ldl

unit-programs: $(UNIT_PROGRAMS)
sim-program: $(if $(SIM_SOURCES),$(B)/sim/sim) $(B)/fleet/fleet
# libFuzzer is clang's.
ifeq ($(V),plain)
fuzz-programs:
	$(MAKE) V=fuzz CC=clang HARDEN= SAN=address,undefined CFLAGS='-O1 -g' \
		OBJECT_CFLAGS=-fsanitize=fuzzer-no-link $@
else
fuzz-programs: $(FUZZERS)
endif
fixtures: $(FIXTURES) $(PLAIN_VARIANTS) variants
variants: $(VARIANTS)
bench-programs: $(BENCHES) $(FIXTURES)

# --- Testing ---------------------------------------------------------------

check: ### what must hold for every change
	scripts/check

nightly: ## all that there is: other tools, programs, kernels' faults; hours
	scripts/check --nightly

soak: all fixtures unit-programs ## the tests of every change N=20 times, beside a load
	scripts/soak $(or $(N),20)

kernels: ## smoke, units and rooms of e2e on 5.10, 6.1, 6.12, the newest and arm64 (NAME=6.1)
	scripts/setup kernels
	scripts/kernels $(NAME)

unit: unit-programs ### the unit tests (TESTS=drain for those of a folder)
	@scripts/run unit $(if $(TESTS),$(TESTS:%=$(B)/unit/%),$(UNIT_PROGRAMS))

sim: sim-program ### the core in a fake world (SEED=N for one, SEEDS=N for many)
	$(if $(SEED),$(B)/sim/sim --seed $(SEED),$(B)/sim/sim $(if \
		$(SEEDS),--seeds $(SEEDS)))

fleet-sim: sim-program ## a release for 1,000 hosts, on paper: tables (SEED=N)
	$(B)/fleet/fleet $(if $(SEED),--seed $(SEED))

fleet: all fixtures ## several hosts, real load balancers, brokers; as root (TESTS=nats)
	scripts/run fleet $(TESTS)

e2e: all fixtures ### the tests with real programs (TESTS="why health/" for some)
	scripts/run e2e $(TESTS)

upgrade-from: all fixtures ## `upgrade` from an earlier nclust and back (REV=COMMIT)
	scripts/run upgrade-from $(REV)

wild: all fixtures ## more servers that bind for themselves: Go, Java, Ruby
	scripts/run wild

fresh: ## demo and check on a minimal Debian of its own, as root (SUITE=trixie)
	scripts/fresh $(or $(SUITE),trixie)

lint: all ### arrows, gates, clang-tidy, cppcheck, shellcheck, mandoc, format
	scripts/lint

clang: ## the program as clang makes it, in build/clang
	$(MAKE) V=clang CC=clang WERROR=1 build/clang/nclust

# To compile them takes longer than to run them: nothing is optimized, and of what a debugger
# wants there are the lines, which the reports name.
SANITIZED = V=asan CC=clang HARDEN= SAN=address,undefined CFLAGS=-gline-tables-only

asan: asan-programs ## unit tests and simulation under AddressSanitizer and UBSan
	$(MAKE) $(SANITIZED) unit sim

asan-programs:
	$(MAKE) $(SANITIZED) unit-programs sim-program

asan-nclust:
	$(MAKE) $(SANITIZED) build/asan/nclust variants

check-asan: all fixtures asan-nclust ## the e2e tests under them (TESTS="why health/" for some)
	scripts/run asan $(TESTS)

valgrind: all fixtures unit-programs build/valgrind/pidfd.so ## unit and smoke
	scripts/run unit --valgrind $(UNIT_PROGRAMS)
	scripts/run valgrind

fuzz: fuzz-programs ## each fuzz target for SECONDS=10
	scripts/run fuzz $(or $(SECONDS),10)

cover: ## line coverage of the unit tests and the simulation
	$(MAKE) V=cover HARDEN= CFLAGS='-O0 -g --coverage' unit sim
	scripts/cover build/cover

mutate: ## break the core in known ways; the simulation must notice
	tests/sim/mutate

mutants: all unit-programs fixtures ## sampled faults of src/supervisor: how many are noticed? (COUNT=60 SEED=1)
	tests/mutants.py --count $(or $(COUNT),60) --seed $(or $(SEED),1)

sequences: all fixtures ## orders of verbs, under load: all, or N=12 by SEED=N
	SEED=$(or $(SEED),$(shell date +%s)) N=$(N) KIND=$(KIND) VERBS='$(VERBS)' \
		/usr/bin/python3 -m pytest -n 4 --timeout 0 tests/sequences

torture: fixtures asan-nclust ## random operations for SECONDS=60 (SEED=N)
	SANITIZED=1 NCLUST=$(CURDIR)/build/asan/nclust PATIENCE=5 \
		SEED=$(or $(SEED),$(shell date +%s)) SECONDS=$(or $(SECONDS),60) \
		/usr/bin/python3 -m pytest --timeout 0 tests/torture

hostile: all ## hostile workers for SECONDS=60, answers in LIMIT_MS=200; or STARTS=200 LOAD=16
	scripts/hostile $(if $(STARTS),--starts $(STARTS) --load $(or $(LOAD),16),--seconds \
		$(or $(SECONDS),60) --limit-ms $(or $(LIMIT_MS),200) $(PROGRAMS))

bench: all bench-programs ## the figures, against the neighbours
	scripts/bench

format: ## clang-format 14 all C files
	$(or $(shell command -v clang-format-14),clang-format) -i $(C_FILES)

# --- Generated texts -------------------------------------------------------

man: nclust ## write the generated parts of man/ and etc/ anew
	scripts/generate

# --- Installing ------------------------------------------------------------

install: all ### into DESTDIR and PREFIX (default /usr/local)
	install -d $(DESTDIR)$(bindir) $(DESTDIR)$(unitdir) \
		$(DESTDIR)$(docdir) $(DESTDIR)$(bashdir) $(DESTDIR)$(zshdir)
	install -m 755 nclust $(DESTDIR)$(bindir)/nclust
	for page in $(PAGES); do \
		section=$${page##*.}; \
		install -d $(DESTDIR)$(mandir)/man$$section && \
		install -m 644 $$page $(DESTDIR)$(mandir)/man$$section/ || \
		exit 1; \
	done
	sed 's,@bindir@,$(bindir),g' etc/nclust@.service \
		>$(DESTDIR)$(unitdir)/nclust@.service
	chmod 644 $(DESTDIR)$(unitdir)/nclust@.service
	install -m 644 etc/nclust.ini etc/prometheus-rules.yml \
		etc/grafana-dashboard.json COPYING NEWS README.md \
		$(DESTDIR)$(docdir)/
	for file in $(EXAMPLES); do \
		mode=644; [ ! -x $$file ] || mode=755; \
		install -D -m $$mode $$file \
			$(DESTDIR)$(docdir)/$${file#etc/} || exit 1; \
	done
	install -m 644 etc/completion/nclust.bash $(DESTDIR)$(bashdir)/nclust
	install -m 644 etc/completion/_nclust $(DESTDIR)$(zshdir)/_nclust

uninstall: ## what install has put there
	rm -f $(DESTDIR)$(bindir)/nclust $(DESTDIR)$(unitdir)/nclust@.service \
		$(DESTDIR)$(bashdir)/nclust $(DESTDIR)$(zshdir)/_nclust
	for page in $(notdir $(PAGES)); do \
		rm -f $(DESTDIR)$(mandir)/man$${page##*.}/$$page || exit 1; \
	done
	rm -rf $(DESTDIR)$(docdir)

dist: ## the source archive, build/nclust-VERSION.tar.gz
	@mkdir -p build
	git archive --prefix=nclust-$(VERSION)/ HEAD | gzip -9n \
		>build/nclust-$(VERSION).tar.gz

release: ## is the last commit ready to be released? (QUICK=1: without the tests)
	scripts/release $(if $(QUICK),--quick)

deb: ### a Debian package, build/nclust_VERSION_ARCH.deb
	scripts/make-deb

package-tests: static fixtures ## the package, the image, the archive: some minutes, as root
	scripts/setup packages
	/usr/bin/python3 -m pytest tests/packages

image: static ## a container image of it, by podman: localhost/nclust
	scripts/make-image

static: ## a static program, stripped, build/static/nclust
	$(MAKE) V=static STATIC=1 build/static/nclust

clean: ### all that was built
	rm -rf build nclust

help: ### the ten that are typed most
	@$(call list,###)

help-all: ## all targets
	@$(call list,##\#?)

list = awk -F':.*$(1) ' '/^[a-z0-9-]+:.*$(1) /{printf "%-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

-include $(OBJECTS:.o=.d) $(wildcard $(B)/tests/*/*.d \
	$(B)/tests/unit/*/*.d $(B)/tools/*.d build/plain/tests/*/*.d)
