# Every target sets up what it needs; a Python 3.11 or newer and make are all that must be there.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint format docs bench bench-faults bench-growth bench-history bench-scale flames bench-meter torture fuzz lock upgrade test-long test-duckdb15 test-lowest test-focus test-browser test-deploy test-many test-notebooks test-s3 test-spark bench-spark test-examples notebooks wheel test-all clean

export UV_NO_PROGRESS := 1
export UV_PYTHON_DOWNLOADS := never
# So that no run has to, which matters where Python is told to write none.
export UV_COMPILE_BYTECODE := 1

PROBE := import sys; sys.version_info >= (3, 11) or sys.exit(1); print(sys.executable)
# Each candidate is run, for a shim may stand on the PATH for a version that it then refuses.
first-python = $(shell IFS=:; for name in $(1); do for folder in $$PATH; do \
    "$$folder/$$name" -c '$(PROBE)' 2>/dev/null && exit; done; done)
PYTHON ?= $(call first-python,python3.13 python3.12 python3.11 python3 python)
OLDEST_PYTHON ?= $(call first-python,python3.11 python3.12 python3.13 python3 python)

PROBE_3_12 := import sys; sys.version_info[:2] == (3, 12) or sys.exit(1); print(sys.executable)
# The FOCUS validator wants this one; pyenv may hold it without a way to it on the PATH.
FOCUS_PYTHON ?= $(shell IFS=:; for folder in $$PATH "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.12.*/bin; do \
    "$$folder/python3.12" -c '$(PROBE_3_12)' 2>/dev/null && exit; done)

BROWSERS := $(or $(CHROMIUM),chromium chromium-browser google-chrome)

UV := .uv/bin/uv
BIN := .venv/bin
PYTEST := -m pytest -n 2 -q

help: ## List the targets
	@echo 'Usage: make TARGET [ARGS="..."] [PYTHON=/path/to/python3]'
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/ready ## Run the whole line against the emulated service: no account needed
	$(BIN)/demeter demo $(ARGS)

test: .venv/ready ## Run the tests: make test ARGS="-k name"
	$(BIN)/python $(PYTEST) -m 'not long' $(ARGS)

test-long: .venv/ready ## Run the tests that take their time: long histories, kills, damage, upkeep, pages (minutes)
	$(BIN)/python $(PYTEST) -m long $(ARGS)

# What a machine path or a package host looks like; ma-user's home is one inside an instance.
STRAY := (^|[^[:alnum:]_.~}>)-])/(home|root|tmp|work|Users)/|py[p]i\.org|pythonhoste[d]\.|npmj[s]\.
lint: .venv/ready ## Check style, types, SQL, and that no tracked file names a machine
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive etl
	$(BIN)/sqlfluff lint --disable-progress-bar sql
	@! git grep -nIE '$(STRAY)' | grep -v '/home/ma-user'

format: .venv/ready ## Put Python and SQL into their format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/sqlfluff fix --disable-progress-bar --quiet sql

docs: .venv/ready .venv-docs/ready ## Write the reference and the examples anew from the code, and build the site: build/site
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/examples.py
	.venv-docs/bin/python docs/site.py

bench: .venv/ready .venv-bench/ready ## Measure a sweep beside the floor, dlt and pandas, into docs/performance.md (ten minutes)
	$(BIN)/python -m bench.performance

bench-faults: .venv/ready .venv-bench/ready .venv-airbyte/ready ## Try every fault with dlt and Airbyte as well, into docs/faults.md (half an hour)
	$(BIN)/python -m bench.faults
	$(BIN)/python -m bench.crashes

bench-growth: .venv/ready .venv-bench/ready ## Measure what a thousand sweeps do to a lake, into docs/performance.md (an hour)
	$(BIN)/python -m bench.growth

flames: .venv/ready .venv-bench/ready ## Draw where the time of a sweep and of a build goes, into docs/ (minutes)
	$(BIN)/python -m bench.flames

bench-meter: .venv/ready ## Measure the meter against the truth, into docs/metering.md (minutes)
	$(BIN)/python -m bench.meter

bench-history: .venv/ready ## Measure builds, reports and bytes of a year, into docs/performance.md (an hour)
	$(BIN)/python -m bench.yearly $(ARGS)

bench-scale: .venv/ready ## Sweep a hundred projects, and say what ten thousand would take, into docs/scale.md (half an hour)
	$(BIN)/python -m bench.scale $(ARGS)

torture: .venv/ready ## Break runs off at every point, into docs/torture.md (ten minutes; ARGS="--share 1" takes hours)
	$(BIN)/python -m bench.torture $(ARGS)

# Each begins with the seeds of the repository, and keeps what it found in a folder of its own.
fuzz: ARGS = -max_total_time=120
fuzz: .venv-fuzz/ready ## Look for answers that harm, guided by coverage: make fuzz ARGS="-max_total_time=600"
	@mkdir -p .fuzz/page .fuzz/pager
	.venv-fuzz/bin/python -m bench.fuzz page .fuzz/page tests/corpus/page -artifact_prefix=.fuzz/page- $(ARGS)
	.venv-fuzz/bin/python -m bench.fuzz pager .fuzz/pager -artifact_prefix=.fuzz/pager- -max_len=4096 -len_control=1 $(ARGS)

test-duckdb15: .venv-duckdb15/ready ## Run the tests on the newest DuckDB 1.5; `test-lowest` has the first
	.venv-duckdb15/bin/python $(PYTEST) -m 'not long' $(ARGS)

# What these are about is our own code alone, or the repository.
OF_NO_LIBRARY := docs emulator_faults emulator_fleet emulator_service emulator_tokens errors listing pacing redaction repository svg
test-lowest: .venv-lowest/ready ## Run the tests on the lowest dependencies that are promised, DuckDB 1.5 among them
	.venv-lowest/bin/python $(PYTEST) -m 'not long' $(OF_NO_LIBRARY:%=--ignore=tests/test_%.py) $(ARGS)

test-many: .venv/ready ## Sweep three hundred projects in one run (minutes)
	$(BIN)/python -m pytest -q tests/many $(ARGS)

test-focus: .venv/ready .venv-focus/ready ## Run the FOCUS validator over an export: wants Python 3.12
	$(BIN)/python tests/validate_focus.py .venv-focus

with-chromium = @$(foreach name,$(BROWSERS),command -v $(name) >/dev/null ||) \
	$(1)/bin/playwright install chromium >/dev/null 2>&1 || { \
	echo "The browser tests want a Chromium and none was found: install chromium, or name it: CHROMIUM=/path" >&2; exit 1; }

with-java = @java -version >/dev/null 2>&1 || { \
	echo "Spark runs on Java 17 or newer and none was found: install openjdk-17-jre-headless" >&2; exit 1; }

# Debian's Chromium, or the one that playwright keeps; what judges accessibility is fetched by its hash.
test-browser: .venv-browser/ready tests/browser/node_modules ## Open the HTML report in Chromium: wants npm and a Chromium
	$(call with-chromium,.venv-browser)
	.venv-browser/bin/python -m pytest -q tests/browser $(ARGS)

test-deploy: .venv/ready .venv-deploy/ready wheel ## Run what is in deploy/: wants systemd-analyze
	@systemd-analyze --version >/dev/null 2>&1 || { echo "The units are verified by systemd-analyze and none" \
	    "was found: install systemd" >&2; exit 1; }
	.venv-deploy/bin/python -m pytest -q --confcutdir tests/deploy tests/deploy $(ARGS)

# These wait more than they work.
test-s3: .venv-s3/ready ## Run the lake in an object store, which is emulated on loopback (minutes)
	.venv-s3/bin/python $(PYTEST) -n 3 tests/s3 $(ARGS)

notebooks: .venv-notebooks/ready ## Write the Jupyter notebook anew from the marimo notebook
	.venv-notebooks/bin/marimo --quiet export ipynb --sort top-down --force notebooks/tour.py -o notebooks/tour.ipynb

test-notebooks: .venv-notebooks/ready ## Run the notebooks, as marimo and Jupyter do, and open them in Chromium
	$(call with-chromium,.venv-notebooks)
	.venv-notebooks/bin/python -m pytest -q tests/notebooks $(ARGS)

test-spark: .venv-spark/ready ## Run the line on a Spark cluster of this machine: wants Java 17 or newer
	$(with-java)
	.venv-spark/bin/python -m pytest -q tests/spark $(ARGS)

bench-spark: .venv-spark/ready ## Measure builds of a large lake on DuckDB and on Spark, into docs/spark.md (an hour)
	$(with-java)
	.venv-spark/bin/python -m bench.cluster $(ARGS)

test-examples: .venv/ready .venv-docs/ready ## Type what the pages tell one to type, and build the site
	$(BIN)/python docs/examples.py --check
	$(BIN)/python -m pytest -q tests/pages $(ARGS)
	.venv-docs/bin/python docs/site.py

# Tried from a folder outside the checkout, where only what the wheel carries can be found.
wheel: .venv/ready ## Build the wheel, and try it in an environment of its own
	rm -rf dist
	$(UV) build --quiet --no-build-isolation --python $(BIN)/python
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && demeter="$$folder/bin/demeter" && \
	$(UV) venv --quiet --clear --python "$(PYTHON)" "$$folder" && \
	$(UV) pip sync --quiet --python "$$folder" --require-hashes requirements/runtime.txt && \
	$(UV) pip install --quiet --python "$$folder" --no-deps dist/*.whl && \
	cd "$$folder" && "$$demeter" --version && "$$demeter" schema > schema.txt && \
	test -s schema.txt && test -s "$$folder"/lib/python*/site-packages/etl/notebooks/tour.py && echo "The wheel works outside the checkout."

# What keeps both processors busy goes one after the other; what takes one goes two at a time.
SIDE_BY_SIDE := test-browser test-examples test-notebooks test-deploy test-focus
test-all: test-long test-lowest test-many test-s3 test-spark ## Run what `test` leaves out: long tests, the lowest versions, an object store, Spark, a browser, README, notebooks, deploy/, many projects, FOCUS, the wheel
	$(MAKE) --jobs=2 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) wheel $(SIDE_BY_SIDE)

lock: .uv/ready ## Renew requirements/ after a change of dependencies
	$(LOCK) pyproject.toml -o requirements/runtime.txt
	$(LOCK) pyproject.toml --extra aksk -c requirements/runtime.txt -o requirements/aksk.txt
	$(LOCK) pyproject.toml --extra otel -c requirements/aksk.txt -o requirements/otel.txt
	$(LOCK) pyproject.toml --extra notebook -c requirements/otel.txt -o requirements/notebook.txt
	$(LOCK) pyproject.toml --extra s3 -o requirements/s3.txt
	$(LOCK) pyproject.toml --group dev -o requirements/dev.txt
	$(LOCK) pyproject.toml --group browser -c requirements/dev.txt -o requirements/browser.txt
	$(LOCK) pyproject.toml --group notebooks -c requirements/dev.txt -o requirements/notebooks.txt
	$(LOCK) pyproject.toml --group stores -o requirements/stores.txt
	$(LOCK) pyproject.toml --group fuzz -c requirements/dev.txt -o requirements/fuzz.txt
	$(LOCK) --no-binary pyspark pyproject.toml --group spark -c requirements/dev.txt -o requirements/spark.txt
	$(LOCK) pyproject.toml --group duckdb15 -o requirements/duckdb15.txt
	$(LOCK) pyproject.toml --group test --resolution lowest-direct -o requirements/lowest.txt
	$(LOCK) --group deploy -o requirements/deploy.txt
	$(LOCK) --group docs -o requirements/docs.txt
	$(LOCK) --group bench -o requirements/bench.txt
	$(LOCK) --group airbyte -o requirements/airbyte.txt
	$(LOCK) --group uv -o requirements/uv.txt
	$(call lock-for,3.12) --no-binary focus-validator --no-binary pandasql --group focus -o requirements/focus.txt

upgrade: UPGRADE := --upgrade
upgrade: lock ## Renew requirements/ with the newest versions

clean: ## Remove the environments, and what the targets made
	rm -rf .venv .venv-deploy .venv-docs .venv-duckdb15 .venv-lowest .venv-focus .venv-browser .venv-notebooks .venv-s3 .venv-spark .venv-fuzz .venv-bench .venv-airbyte
	rm -rf tests/browser/node_modules .bench .fuzz .uv build dist
	rm -rf .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

lock-for = $(UV) pip compile --quiet --universal --python "$(PYTHON)" --python-version $(1) $(UPGRADE) \
    --only-binary :all: --generate-hashes --no-annotate --custom-compile-command 'make lock'
LOCK = $(call lock-for,3.11)

ENVIRONMENTS := .venv/ready .venv-duckdb15/ready .venv-lowest/ready .venv-fuzz/ready .venv-browser/ready \
    .venv-notebooks/ready .venv-s3/ready
.venv/ready: requirements/dev.txt
.venv-duckdb15/ready: requirements/duckdb15.txt
.venv-lowest/ready: requirements/lowest.txt
.venv-fuzz/ready: requirements/fuzz.txt
.venv-browser/ready: requirements/browser.txt
.venv-notebooks/ready: requirements/notebooks.txt
.venv-s3/ready: requirements/stores.txt
.venv-lowest/ready: PYTHON = $(OLDEST_PYTHON)

$(ENVIRONMENTS): pyproject.toml .uv/ready
	@echo "Setting up $(@D)"
	@$(UV) venv --quiet --clear --python "$(PYTHON)" $(@D)
	@$(UV) pip sync --quiet --python $(@D) --require-hashes $(filter requirements/%,$^)
	@$(UV) pip install --quiet --python $(@D) --no-deps --no-build-isolation --editable .
	@$(@D)/bin/python -m compileall -q etl
	@touch $@

# Nothing of demeter is in these.
.venv-deploy/ready: requirements/deploy.txt
.venv-docs/ready: requirements/docs.txt
.venv-bench/ready: requirements/bench.txt
.venv-airbyte/ready: requirements/airbyte.txt
.venv-deploy/ready .venv-docs/ready .venv-bench/ready .venv-airbyte/ready: .uv/ready
	@echo "Setting up $(@D)"
	@$(UV) venv --quiet --clear --python "$(PYTHON)" $(@D)
	@$(UV) pip sync --quiet --python $(@D) --require-hashes $(filter requirements/%,$^)
	@touch $@

tests/browser/node_modules: tests/browser/package-lock.json
	@npm --version >/dev/null 2>&1 || { echo "The browser tests fetch axe-core by npm and none was found:" \
	    "install nodejs and npm" >&2; exit 1; }
	@npm ci --prefix tests/browser --ignore-scripts --no-audit --no-fund --silent
	@touch $@

# What these build from source is built with what the lock holds.
.venv-spark/ready: requirements/spark.txt pyproject.toml .uv/ready
	@echo "Setting up $(@D)"
	@$(UV) venv --quiet --clear --python "$(PYTHON)" $(@D)
	@$(UV) pip sync --quiet --python $(@D) --require-hashes --build-constraints $< $<
	@$(UV) pip install --quiet --python $(@D) --no-deps --no-build-isolation --editable .
	@touch $@

.venv-focus/ready: requirements/focus.txt .uv/ready
	@test -n "$(FOCUS_PYTHON)" || { echo "The FOCUS validator needs Python 3.12 and none was found: install it," \
	    "or name it: make test-focus FOCUS_PYTHON=/path/to/python3.12" >&2; exit 1; }
	@echo "Setting up $(@D)"
	@$(UV) venv --quiet --clear --python "$(FOCUS_PYTHON)" $(@D)
	@$(UV) pip sync --quiet --python $(@D) --require-hashes --build-constraints $< $<
	@touch $@

PIP_INSTALL := -m pip install --quiet --require-hashes --only-binary :all: -r requirements/uv.txt
# The uv on the PATH, else the locked one, by the pip of a new environment or the system's pip.
.uv/ready: requirements/uv.txt
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer is on the PATH: install one," \
	    "or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@rm -rf .uv
	@if uv --version >/dev/null 2>&1; then mkdir -p .uv/bin && ln -s "$$(command -v uv)" $(UV); \
	elif "$(PYTHON)" -c 'import ensurepip' 2>/dev/null; then \
	    "$(PYTHON)" -m venv .uv && .uv/bin/python $(PIP_INSTALL); \
	elif "$(PYTHON)" -c 'import pip' 2>/dev/null; then \
	    "$(PYTHON)" $(PIP_INSTALL) --target .uv; \
	else echo "$(PYTHON) has neither ensurepip nor pip: install python3-venv or uv" >&2; exit 1; fi
	@touch $@
