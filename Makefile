# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PLUGINS := plugins/gantl-zoo-example plugins/gantl-zoo-fewshot

.PHONY: demo test lint fix clean

demo: $(READY)
	$(BIN)/gantl-zoo transfer dcgan-mnist --data glyphs --steps 500 --metrics-every 125 --samples 2000 \
		--metrics fd --strategy full --lr 8e-4 --r1 0.5 --batch 64 --aug none --decay 0.5 \
		--compare-scratch --out runs

# as many processes as cores, so one thread each
test: $(READY) lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# made anew when what is to be installed changes
$(READY): pyproject.toml $(PLUGINS:%=%/pyproject.toml)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --editable '.[dev]' $(PLUGINS:%=--editable %)
	touch $(READY)

clean:
	rm -rf .venv runs .pytest_cache .mypy_cache .ruff_cache
