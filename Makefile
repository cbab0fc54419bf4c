EXTENSION = relay_guard
EXTVERSION = $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(EXTENSION).control)

# The server module: every src/*.c
MODULE_big = $(EXTENSION)
OBJS = $(patsubst %.c,%.o,$(wildcard src/*.c))
PG_CPPFLAGS = -Isrc -I$(libpq_srcdir)
PG_CFLAGS += -Wall -Wextra -Wno-unused-parameter
# The module's own calls stay inside it: faster, and nothing else's symbols
SHLIB_LINK = -lsodium -lcrypto -ljansson -Wl,-Bsymbolic-functions

# The gateway: src/gateway/*.c, and of the module's files those that need no
# server.  PGXS installs, uninstalls and cleans it as it would a script.
GATEWAY = relay_gateway
SCRIPTS_built = $(GATEWAY)
PURE_SOURCES = $(filter-out $(shell grep -l postgres.h src/*.c),$(wildcard src/*.c))
PURE = $(PURE_SOURCES:.c=.o)
GATEWAY_OBJS = $(patsubst %.c,%.o,$(wildcard src/gateway/*.c)) $(PURE)
GATEWAY_PURE = $(addprefix src/gateway/,accept_encoding.o address_bucket.o address_public.o byte_range.o chunked.o clock.o completion_chunk.o \
	completion_shape.o conn_limit.o content.o cors.o db_error.o deny_cache.o fallback_routes.o forwarded.o \
	growing.o gzip.o header_lines.o http1.o keys_schedule.o metric_series.o metric_text.o order_json.o origin.o \
	provider_order.o proxy_headers.o proxy_order.o proxy_protocol.o reply_traits.o request_id.o \
	response_cache.o security_headers.o sse_parse.o sse_text.o target.o trace.o)
GATEWAY_LIBS = -lsodium -lssl -lcrypto -ljansson -levent_core -lpq -lcurl -lz

# The install script is its numbered parts, one after the other; upgrade
# scripts and the scripts of past releases are kept as they were written
DATA = $(filter-out $(DATA_built),$(wildcard sql/$(EXTENSION)--*.sql))
DATA_built = sql/$(EXTENSION)--$(EXTVERSION).sql

# make installcheck: what goes in stands in test/, what must come out in
# expected/.  test/with_server make installcheck brings a server of its own.
REGRESS = $(patsubst test/sql/%.sql,%,$(wildcard test/sql/*.sql))
REGRESS_OPTS = --inputdir=test --load-extension=$(EXTENSION)
ISOLATION = $(patsubst test/specs/%.spec,%,$(wildcard test/specs/*.spec))
ISOLATION_OPTS = --inputdir=test --outputdir=. --load-extension=$(EXTENSION)
TAP_TESTS = 1
PROVE_TESTS = $(wildcard test/pgtap/*.sql)

UNITS = $(patsubst %.c,%,$(wildcard test/unit/*.c))
FUZZERS = $(patsubst %.c,%,$(wildcard test/fuzz/fuzz_*.c))
REPLAYS = $(patsubst test/fuzz/%,test/fuzz/build/replay/%,$(FUZZERS))
EXTRA_CLEAN = $(GATEWAY_OBJS) $(UNITS) $(FUZZERS) test/fuzz/build bench/pg_pipeline

# Without PGXS there is still make deps, which brings it
PG_CONFIG ?= pg_config
PGXS := $(wildcard $(shell $(PG_CONFIG) --pgxs 2>/dev/null))
ifdef PGXS
include $(PGXS)
else
all install installcheck clean:
	@echo "PostgreSQL's build files are missing: run make deps" >&2; exit 1
endif

# PGXS has just set PROVE_FLAGS, and it points PGPORT elsewhere while prove
# runs, so the port of the server under test travels by another name
export RG_PGPORT := $(or $(PGPORT),$(DEF_PGPORT))
PROVE_FLAGS += --verbose --source Executable --source pgTAP \
	--pgtap-option suffix=.sql --pgtap-option dbname=contrib_regression \
	--pgtap-option port=$(RG_PGPORT)

$(OBJS) $(OBJS:.o=.bc) $(GATEWAY_OBJS): $(wildcard src/*.h src/gateway/*.h)

$(DATA_built): $(sort $(wildcard sql/[0-9][0-9]_*.sql))
	cat $^ > $@

# The pages of the gateway are installed beside the extension
WEB_ROOT = $(datadir)/$(EXTENSION)/web
$(GATEWAY_OBJS): CPPFLAGS += -DRG_VERSION='"$(EXTVERSION)"' -DRG_WEB_ROOT='"$(WEB_ROOT)"'
install: install-web
install-web:
	$(MKDIR_P) '$(DESTDIR)$(WEB_ROOT)'
	$(INSTALL_DATA) $(wildcard web/*) '$(DESTDIR)$(WEB_ROOT)/'

$(GATEWAY): $(GATEWAY_OBJS)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(GATEWAY_LIBS)

# Unit tests and fuzzers need no server either
unitcheck: $(UNITS)
	status=0; for test in $^; do ./$$test || status=1; done; exit $$status

test/unit/%: test/unit/%.c $(PURE) $(GATEWAY_PURE)
	$(CC) -Isrc $(CFLAGS) -o $@ $^ $(GATEWAY_LIBS)

# Each fuzzer once over the inputs that were kept, with any compiler; make fuzz
# goes on from them for FUZZ_SECONDS each, and needs clang.  test/fuzz/minimize
# chooses anew which are kept.
SANITIZE = -g -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
PURE_FOR_FUZZING = $(PURE:.o=.c) $(GATEWAY_PURE:.o=.c)
REPLAY_OBJS = $(PURE_FOR_FUZZING:%.c=test/fuzz/build/replay/%.o) test/fuzz/build/replay/test/fuzz/replay.o
FUZZ_OBJS = $(PURE_FOR_FUZZING:%.c=test/fuzz/build/fuzz/%.o)
FUZZ_CLANG ?= clang
.SECONDARY: $(REPLAY_OBJS) $(FUZZ_OBJS)

fuzzcheck: $(REPLAYS)
	status=0; for replay in $^; do ./$$replay test/fuzz/corpus/$${replay##*/} || status=1; done; exit $$status

FUZZ_SECONDS ?= 60
fuzz: deps
	@ops/deps test/fuzz/packages
	@$(MAKE) --no-print-directory $(FUZZERS)
	for fuzzer in $(FUZZERS); do test/fuzz/run $$fuzzer $(FUZZ_SECONDS) || exit 1; done

test/fuzz/build/replay/%.o: %.c $(wildcard src/*.h src/gateway/*.h test/fuzz/*.h)
	@mkdir -p $(@D)
	$(CC) $(SANITIZE) -Wall -Wextra -Wno-unused-parameter -Isrc -c -o $@ $<

test/fuzz/build/replay/%: test/fuzz/build/replay/test/fuzz/%.o $(REPLAY_OBJS)
	$(CC) $(SANITIZE) -o $@ $^ $(GATEWAY_LIBS)

test/fuzz/build/fuzz/%.o: %.c $(wildcard src/*.h src/gateway/*.h test/fuzz/*.h)
	@mkdir -p $(@D)
	$(FUZZ_CLANG) $(SANITIZE) -fsanitize=fuzzer-no-link -Isrc -c -o $@ $<

test/fuzz/%: test/fuzz/build/fuzz/test/fuzz/%.o $(FUZZ_OBJS)
	$(FUZZ_CLANG) $(SANITIZE) -fsanitize=fuzzer -o $@ $^ $(GATEWAY_LIBS)

# On a PostgreSQL that shows memory errors; see docs/testing.md
test-asan test-valgrind: test-%: deps
	@ops/deps test/memory/packages
	@test/memory/run $*

# PostgreSQL's own tests, with relay_guard and without
test-postgres: installed
	@ops/deps test/postgres/packages
	@test/postgres/regress

# For newcomers.  PGXS may be there only after make deps, hence the second make.
# setpriv: whatever ends make, kill -9 included, stops the servers too.
deps:
	@ops/deps ops/packages

bench-deps: deps
	@ops/deps bench/packages

installed: deps
	@$(MAKE) --no-print-directory -j"$$(nproc)" all
	@ops/install

run: installed
	@setpriv --pdeathsig TERM ops/run

# Without the bitcode by which JIT would inline functions: it takes half of the build
test:
	@$(MAKE) --no-print-directory with_llvm=no installed
	@test/run

# Limits and budgets for minutes, with millions of keys; encryption and rotation by the million;
# faults, idle clients and a soak of the gateway
test-long: installed
	@RG_LONG=1 test/run unit crypto audit budget rates http

# Of the database that DATABASE_URL or libpq's environment names
lint-db:
	@ops/lint_db

bench: installed bench-deps
	@$(MAKE) --no-print-directory bench/pg_pipeline
	@bench/run

bench/pg_pipeline: bench/pg_pipeline.c src/frame.o
	$(CC) $(CPPFLAGS) $(CFLAGS) -o $@ $^ -lpq

.PHONY: install-web unitcheck fuzz fuzzcheck test-asan deps bench-deps installed run test test-long bench lint-db test-valgrind test-postgres
