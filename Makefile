PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
CODE := src tests examples bench scripts docs/conf.py

# flake8-async knows mistakes that ruff does not (unshielded await in finally, swallowed Cancelled, useless nursery).
# Its optional codes are on, except: 106 from trio.testing import is fine here; 113/114 name their functions one by
# one, a spawned process is not a start() race; 128 a task_status may be handed on; 122 concerns Trio < 0.27;
# 124/910/911 a callback may be async without awaiting.
# The tests are left out: they swallow Cancelled and shield for ever on purpose.
FLAKE8_ASYNC := --enable=ASYNC --disable=ASYNC106,ASYNC113,ASYNC114,ASYNC122,ASYNC124,ASYNC128,ASYNC910,ASYNC911

help:                               ## show the targets
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' $(MAKEFILE_LIST)

demo: $(VENV)/test.stamp            ## set up, then survey Python's own standard library
	$(BIN)/python -m examples.survey

test: $(VENV)/test.stamp            ## set up, then run the tests
	$(BIN)/python -m pytest -q

check: $(VENV)/check.stamp          ## formatting, lint, async lint, mypy --strict, import floors
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	find src examples bench scripts -name '*.py' -exec $(BIN)/flake8-async $(FLAKE8_ASYNC) {} +
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_floors.py
	$(BIN)/python -m pytest -q -m types tests/typing

types: $(VENV)/types.stamp          ## the second type checker
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest -q -m pyright tests/typing

conformance: $(VENV)/test.stamp     ## replay the traces recorded from a real Erlang/OTP
	$(BIN)/python scripts/conformance.py tests/conformance/supervisor.json tests/conformance/process.json

coverage: $(VENV)/test.stamp        ## the tests again, with branch coverage of src
	$(BIN)/python -m pytest -q --cov --cov-report=term

bench: $(VENV)/test.stamp           ## what it costs, as ratios to plain Trio
	$(BIN)/python bench/run.py

soak: $(VENV)/test.stamp            ## a million crashes, a million monitors, fifty kills: minutes
	$(BIN)/python -m tests.soak
	$(BIN)/python -m tests.soak.letters

docs: $(VENV)/docs.stamp            ## build the site into docs/_build
	$(BIN)/sphinx-build -q -n -W --keep-going -b html docs docs/_build
	$(BIN)/towncrier build --draft --version next >/dev/null

clean:                              ## remove everything that was made here
	rm -rf .venv* $(VENV) build dist docs/_build htmlcov .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find $(CODE) -name __pycache__ -prune -exec rm -rf {} +

# One stamp per dependency group: made again when the pins or the project file change.
$(VENV)/%.stamp: pyproject.toml constraints.txt | $(VENV)/pip.stamp
	$(BIN)/python -m pip install -qq --group $* --editable . \
		--constraint constraints.txt --build-constraint constraints.txt
	@touch $@

$(VENV)/pip.stamp:                  # a pip that knows dependency groups (>= 25.1)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --constraint constraints.txt pip
	@touch $@

.PRECIOUS: $(VENV)/%.stamp
.NOTPARALLEL:
.PHONY: help demo test check types conformance coverage bench soak docs clean
