# Each target sets up .venv by itself and re-uses it while lock, pyproject.toml and Python stay.
#   make reproduce   every table of the papers on the mini world -> runs/mini/report.html
#   make quick       ruff and the tests that take no more than seconds: while you work
#   make test        ruff, all tests, all lessons run again and compared (nbval)
#   make claims      what takes hours: whole tables and held-out worlds, long fuzz, kills, a million rows -> data_manifests/measured/claims.csv
#   make lab         JupyterLab at the first notebook
#   make demo        one page to point, drag and paint on, in the browser (ARGS=my/photographs, ARGS="--no-browser --theme=dark")
#   make docs        the site of README, docs/ and all notebooks with the outputs they keep -> build/docs
#   make bench       what the design saves, measured -> bench.json
#   make lock        newest versions into requirements.lock
#   make clean       remove .venv and what tools leave behind

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
KEY := $(shell $(PYTHON) -c 'import hashlib, sys; \
	text = b"".join(open(f, "rb").read() for f in ("requirements.lock", "pyproject.toml")); \
	print(*sys.version_info[:3], hashlib.sha256(text).hexdigest()[:16], sep="-")')
STAMP := $(VENV)/.stamp-$(KEY)
START = $(firstword $(sort $(wildcard notebooks/0*.ipynb)))
export PIP_DISABLE_PIP_VERSION_CHECK = 1

PYTEST = $(RUN) -m pytest --durations 15
TWO = --numprocesses 2 --dist loadfile --no-loadscope-reorder

.PHONY: reproduce quick test claims lab demo docs bench lock clean
.DELETE_ON_ERROR:

reproduce: $(STAMP)
	$(RUN) -m foir_lib reproduce mini

test: $(STAMP)
	$(RUN) -m ruff check
	$(PYTEST) --nbval-lax $(TWO)

quick: $(STAMP)
	$(RUN) -m ruff check
	$(PYTEST) $(TWO) -m "not (slow or browser or real or claims)" tests

claims: $(STAMP)
	FOIR_CLAIMS=data_manifests/measured/claims.csv $(PYTEST) --nbval-lax -m claims

lab: $(STAMP)
	$(RUN) -m jupyter lab --ip=127.0.0.1 --ServerApp.root_dir=. $(START)

demo: $(STAMP)
	$(RUN) -m foir_lib demo $(ARGS)

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict --quiet
	@echo "open build/docs/index.html"

bench: $(STAMP)
	$(RUN) -m foir_lib bench
	FOIR_BENCH=1 $(RUN) -m pytest -q -s --no-header tests/browser/test_latency.py

lock: $(STAMP)
	$(RUN) -m uv pip compile pyproject.toml --extra dev --extra docs --universal --python-version 3.10 --upgrade \
		--quiet --no-annotate --no-emit-index-url --custom-compile-command "make lock" \
		--output-file requirements.lock

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(STAMP):
	@test -n "$(KEY)" || { echo "$(PYTHON) can't be run: name a Python >= 3.10, as make PYTHON=python3.12 test"; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; \
		sys.exit(v < (3, 10) and "Python %d.%d is too old: name a Python >= 3.10, as make PYTHON=python3.12 test" % v[:2])'
	@$(RUN) -c 'import pip, sys; sys.exit(not "$(KEY)".startswith("%d-%d-%d-" % sys.version_info[:3]))' 2>/dev/null \
		|| $(PYTHON) -m venv --clear $(VENV)
	@echo "setting up $(VENV) from requirements.lock (once; some minutes)"
	$(RUN) -m pip install --quiet -r requirements.lock
	$(RUN) -m pip install --quiet --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.stamp-* && touch $@
