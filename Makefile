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
GATEWAY_PURE = $(addprefix src/gateway/,chunked.o db_error.o deny_cache.o forwarded.o http1.o request_id.o target.o)
GATEWAY_LIBS = -lsodium -lcrypto -ljansson -levent_core -lpq

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
FUZZERS = $(patsubst %.c,%,$(wildcard test/fuzz/*.c))
EXTRA_CLEAN = $(GATEWAY_OBJS) $(UNITS) $(FUZZERS) bench/pg_pipeline

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

FUZZ_SECONDS ?= 60
fuzz: $(FUZZERS)
	for f in $^; do mkdir -p $$f-corpus && \
		./$$f -max_total_time=$(FUZZ_SECONDS) $$f-corpus || exit 1; done

test/fuzz/%: test/fuzz/%.c $(PURE:.o=.c) $(GATEWAY_PURE:.o=.c)
	$(CLANG) -g -O1 -fsanitize=fuzzer,address,undefined -Isrc -o $@ $^ $(GATEWAY_LIBS)

# For newcomers.  PGXS may be there only after make deps, hence the second make.
# setpriv: whatever ends make, kill -9 included, stops the servers too.
deps:
	@ops/deps ops/packages

bench-deps: deps
	@ops/deps bench/packages

installed: deps
	@$(MAKE) --no-print-directory all
	@ops/install

run: installed
	@setpriv --pdeathsig TERM ops/run

test: installed
	@test/run

bench: installed bench-deps
	@$(MAKE) --no-print-directory bench/pg_pipeline
	@bench/run

bench/pg_pipeline: bench/pg_pipeline.c src/frame.o
	$(CC) $(CPPFLAGS) $(CFLAGS) -o $@ $^ -lpq

.PHONY: install-web unitcheck fuzz deps bench-deps installed run test bench
