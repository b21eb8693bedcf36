# Everything runs in .venv, which uv makes from uv.lock. Needed: Python 3.11 to 3.13 and make.
PYTHON ?= python3
UV_VERSION := 0.13.9
ARGS ?=

# uv from the PATH, or installed into .uv for this folder alone
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
SYNC := $(UV) sync --frozen --quiet
RUN := .venv/bin
EXTRAS := $(foreach name,train serve approximate trace registry msk archive s3 spark mlflow lineage,--extra $(name))

.PHONY: demo help test faults swap upgrade bench serve-bench backfill-bench bench-quick unit check gpu-check format bundle sbom clean

demo: .venv/run ## the whole loop on a simulated shop, with a page (ARGS=--stay keeps everything up until Ctrl-C)
	@$(RUN)/thalweg demo $(ARGS)

help: ## this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

test: .venv/test ## unit, contract, integration and end-to-end tests on a real Kafka and Cassandra
	@$(RUN)/pytest $(ARGS)

faults: .venv/test ## kill, freeze and take away everything, then count what was lost (ARGS='--scale long', ARGS='--nodes 3')
	@$(RUN)/python -m tests.faults $(ARGS) $(if $(findstring --nodes,$(ARGS)),,\
		&& $(RUN)/python -m tests.faults.serving && $(RUN)/python -m tests.faults.backfill)

swap: .venv/test ## a worse and a better bundle are tried while traffic flows, and every answer is judged (ARGS=--json)
	@$(RUN)/python -m tests.faults.swap $(ARGS)

upgrade: .venv/test ## workers of an older commit are replaced one by one under load, and back (ARGS='--from COMMIT --json')
	@$(RUN)/python -m tests.faults.upgrade $(ARGS)

bench: .venv/test $(UV) ## the whole job by Thalweg and by its rivals, side by side (ARGS=--json)
	@$(RUN)/python -m tests.benchmarks.bench $(ARGS)

serve-bench: .venv/test ## thalweg serve under load, beside a worker and a plain FastAPI handler (ARGS=--json)
	@$(RUN)/python -m tests.benchmarks.serving $(ARGS)

backfill-bench: .venv/test ## thalweg backfill beside a replay of the same events through Kafka and a worker (ARGS=--json)
	@$(RUN)/python -m tests.benchmarks.scale.backfill $(ARGS)

bench-quick: .venv/test ## the same while developing: Thalweg and plain Faust alone, in five minutes
	@$(RUN)/python -m tests.benchmarks.bench --quick $(ARGS)

unit: .venv/test ## unit and contract tests alone
	@$(RUN)/pytest tests/unit tests/contract $(ARGS)

check: .venv/test ## the fast loop: format, lint, imports between rooms, types, unit tests
	@$(RUN)/ruff format --check . && $(RUN)/ruff check . && $(RUN)/lint-imports --no-logo && \
		$(RUN)/mypy && $(RUN)/pytest -q -n auto tests/unit tests/contract

gpu-check: .venv/gpu ## states on a GPU: parity with the CPU, float16 ranks, rates against the roofline (ARGS=--json)
	@$(RUN)/python -m tests.tools.gpu_check $(ARGS)

format: .venv/test ## format the code, and mend what the linter can mend
	@$(RUN)/ruff format . && $(RUN)/ruff check --fix .

bundle: .venv/test ## train and export the demo's bundle again, from the simulator
	@$(RUN)/thalweg demo --rebuild-bundle

sbom: .venv/test $(UV) ## what Thalweg consists of, with hashes and licences: thalweg.cdx.json (CycloneDX)
	@$(UV) export --frozen --quiet --format cyclonedx1.5 --all-extras --no-dev \
		| $(RUN)/python -m tests.tools.sbom > thalweg.cdx.json

clean: ## delete the environments and the caches of the tools
	rm -rf .venv .uv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# .venv/run: what streaming and serving need; .venv/test: training (torch) and the tools as well
.venv/run: uv.lock pyproject.toml | $(UV)
	@test -e .venv/test || { echo "Installing the packages of uv.lock into .venv ..." && \
		$(SYNC) --python $(PYTHON) --no-dev --extra serve; }
	@touch $@

.venv/test: uv.lock pyproject.toml | $(UV)
	@echo "Installing the packages of uv.lock into .venv, with those for training and tests (6 GB on disk) ..."
	@$(SYNC) --python $(PYTHON) $(EXTRAS) $(if $(wildcard .venv/gpu),--extra gpu)
	@touch $@ .venv/run

# the libraries of CUDA for ONNX Runtime besides
.venv/gpu: .venv/test
	@echo "Installing the libraries of CUDA into .venv ..."
	@$(SYNC) --python $(PYTHON) $(EXTRAS) --extra gpu
	@touch $@

.uv/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "Thalweg needs Python 3.11 to 3.13; '$(PYTHON)' is another: make PYTHON=python3.11"; exit 1; }
	@echo "Installing uv $(UV_VERSION) into .uv ..."
	@$(PYTHON) -m venv .uv && .uv/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
