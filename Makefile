# On a fresh machine, `make book` and `make test` do everything, the installation included.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help venv book chromium pdf test lint lock pairs notebooks reproduce bench simulations mutants clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# The pages of the book, and the notebooks that papermill runs.
PAGES := $(sort $(wildcard book/*.ipynb))
RUNS := $(sort $(wildcard book/runs/*.ipynb))
UNPAIRED := $(filter-out $(patsubst %.ipynb,%.py,$(PAGES) $(RUNS)),$(wildcard book/*.py book/runs/*.py))

# Outputs are compared exactly: --nbval-lax would pass wrong numbers. Two test processes of one thread each; files keep
# their order, in which those that take minutes come early, so that both processes end at about the same time. What the
# build has executed is compared, not executed again.
NBVAL := --nbval --nbval-current-env --nbval-sanitize-with tests/nbval.cfg
EXECUTED := -p tests.book.replay --executed _build/.jupyter_cache
JOBS ?= 2

# Which runs `make reproduce` makes. The book is drawn from the highest tier that is stored, unless one is asked for.
BOOK_TIER := $(TIER)
TIER ?= laptop

help: ## Show this list
	@echo "Usage: make TARGET [PYTHON=python3.12] [ARGS='extra arguments of pytest or bench']"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(STAMP) ## Install everything into .venv, at the versions of requirements.lock

# A .venv that is already there is kept if its Python runs.
$(STAMP): requirements.lock pyproject.toml
	@python="$(BIN)/python"; "$$python" -c '' 2> /dev/null || python="$(PYTHON)"; \
	if ! "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2> /dev/null; then \
	  echo "Python 3.11, 3.12 or 3.13 is needed, for which requirements.lock has packages; $$python is" \
	    "$$("$$python" --version 2> /dev/null || echo not to be found). Name another, as in make venv" \
	    "PYTHON=python3.12, and remove $(VENV) if that holds the wrong one." >&2; \
	  exit 1; \
	fi; \
	"$(BIN)/python" -c '' 2> /dev/null || "$$python" -m venv --clear $(VENV)
	@echo "Installing into $(VENV): a few minutes, up to 7 GB with the CUDA libraries of torch."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# --all, since Sphinx repeats no warning of a page that it does not read again, nor sees a change in diffmemlib.
book: $(STAMP) ## Build the HTML book, each figure from the highest tier stored, or TIER; a warning is an error
	@$(BIN)/python -m diffmemlib verify --integrity
	@DIFFMEM_TIER=$(BOOK_TIER) $(BIN)/jupyter-book build . --all -W -n --keep-going || { \
	  echo "The book was not built: mend each warning and error above, then run make book again." >&2; exit 1; }
	@echo "The book: $(CURDIR)/_build/html/index.html"

# One long page, from what `make book` has read, printed as the style sheets say. Sphinx writes it into a folder, with
# most of its links as seen from above. Chromium has no sandbox for root.
CHROMIUM ?= $(firstword $(foreach name,chromium chromium-browser google-chrome,$(shell command -v $(name))))

chromium:
	@test -n "$(CHROMIUM)" || { echo "Chromium, which prints the book, is not on the PATH: name it, CHROMIUM=..." >&2; exit 1; }

pdf: chromium book ## Print the whole book into one file, _build/book.pdf, by Chromium
	@DIFFMEM_TIER=$(BOOK_TIER) $(BIN)/jupyter-book build . --builder singlehtml --keep-going
	@sed -e 's#\.\./_static/#_static/#g' -e 's#\.\./_images/#_images/#g' _build/singlehtml/book/index.html > _build/singlehtml/book.html
	"$(CHROMIUM)" --headless $(if $(filter 0,$(shell id -u)),--no-sandbox) --disable-gpu --no-pdf-header-footer \
	  --virtual-time-budget=600000 --print-to-pdf=_build/book.pdf "file://$(CURDIR)/_build/singlehtml/book.html"
	@echo "The book: $(CURDIR)/_build/book.pdf"

test: book ## Build the book, then run all tests and compare each page's numbers with those kept in it
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(NBVAL) $(EXECUTED) --durations=30 --durations-min=5 tests $(PAGES) $(ARGS)

lint: $(STAMP) ## Check style, types, and which package imports which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy diffmemlib
	$(BIN)/lint-imports

# Resolved in an environment of its own, so that nothing installed by hand gets in. CUDA libraries get a marker:
# other systems have torch without them, or with others.
lock: ## Resolve pyproject.toml afresh into requirements.lock (Python 3.11 on Linux x86_64)
	@test "$$(uname -sm)" = "Linux x86_64" || { echo "Lock on Linux x86_64: elsewhere torch needs other libraries." >&2; exit 1; }
	rm -rf $(VENV)-lock
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet --disable-pip-version-check -e '.[all]'
	@{ echo "# Exact versions of everything in pyproject.toml's extra \"all\", and of all that these need."; \
	  echo "# Written by \`make lock\` on Python 3.11, Linux x86_64; not to be edited by hand."; \
	  $(VENV)-lock/bin/python -m pip freeze --all --exclude-editable --exclude pip | sed -E \
	    -e 's/\+[a-z0-9.]+$$//' \
	    -e '/^(cuda-|nvidia-|triton=)/s/$$/ ; platform_system == "Linux" and platform_machine == "x86_64"/'; \
	} > requirements.lock.tmp
	mv requirements.lock.tmp requirements.lock
	rm -rf $(VENV)-lock
	@echo "Now bring environment.yml to the same versions: pytest tests/test_environment.py names what differs."

# Formatted between two syncs, since a .py that jupytext writes anew may lack the blank lines that lint wants.
SYNC := $(BIN)/jupytext --quiet --set-kernel python3 --sync
pairs: $(STAMP) ## Bring each notebook and its .py pair to the same cells, from the newer of the two
ifneq ($(PAGES)$(RUNS)$(UNPAIRED),)
	@$(SYNC) $(PAGES) $(RUNS) $(UNPAIRED)
	@$(BIN)/ruff format --quiet book
	@$(SYNC) $(patsubst %.ipynb,%.py,$(PAGES) $(RUNS)) $(UNPAIRED)
endif

# Without times and the Python version, the same results give the same bytes.
define EXECUTE
import pathlib, sys
import nbclient, nbformat
for path in map(pathlib.Path, sys.argv[1:]):
    print(path, flush=True)
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(path.parent)}}
    nbclient.NotebookClient(notebook, record_timing=False, resources=where).execute()
    notebook.metadata.get("language_info", {}).pop("version", None)
    nbformat.write(notebook, path)
endef
export EXECUTE

notebooks: pairs ## Run the pages again in place, or one: make notebooks PAGES=book/NAME.ipynb
	@OMP_NUM_THREADS=1 $(BIN)/python -c "$$EXECUTE" $(PAGES)
	@$(MAKE) --no-print-directory pairs

# One process a core, or a GPU; on a cluster, jobs of WALLTIME minutes, submitted again until their runs are done.
DEVICE ?= cpu
ATONCE ?= $(shell $(BIN)/python -c "import os, torch; \
  print(os.cpu_count() if '$(DEVICE)' == 'cpu' else max(torch.cuda.device_count(), 1))")
WALLTIME ?= $(if $(SLURM),240,0)
reproduce: $(STAMP) ## Make the runs that are missing: TIER=smoke|laptop|gpu|paper [FIG=9] [DEVICE=cuda] [SLURM=1 WALLTIME=minutes]
	@$(BIN)/python -m diffmemlib costs --tier $(TIER) --device $(DEVICE) $(if $(FIG),--figure $(FIG))
	$(BIN)/snakemake --snakefile workflow/Snakefile --rerun-triggers mtime --quiet rules \
	  $(if $(SLURM),--workflow-profile workflow/profiles/slurm,--cores $(ATONCE)) \
	  --config tier=$(TIER) device=$(DEVICE) walltime=$(WALLTIME) $(if $(FIG),fig=$(FIG)) $(ARGS)

bench: $(STAMP) ## Measure training speed on this machine
	$(BIN)/python -m diffmemlib bench $(ARGS)

# An hour and a half of a core, most of it the first.
simulations: $(STAMP) ## Try the theory, the measures of copying and all intervals where the truth is known; stored for the book
	$(BIN)/python -m diffmemlib simulate theory --out book/measured/theory-grid.json
	$(BIN)/python -m diffmemlib simulate ridge --out book/measured/ridge.json
	$(BIN)/python -m diffmemlib simulate copying --out book/measured/copying.json
	$(BIN)/python -m diffmemlib simulate coverage --out book/measured/coverage.json
	$(BIN)/python -m diffmemlib simulate precision --out book/measured/precision.json
	$(BIN)/python -m diffmemlib simulate prediction --out book/measured/prediction.json

mutants: $(STAMP) ## Break the core modules in many small places, and say which breaks no test notices
	$(BIN)/python tests/mutation.py $(ARGS)

clean: ## Remove what was built (keeps .venv, checkpoints and results)
	rm -rf _build build *.egg-info .pytest_cache .mypy_cache .ruff_cache .jupyter_cache
	find book diffmemlib tests -name __pycache__ -prune -exec rm -rf {} + -o -name .ipynb_checkpoints -prune -exec rm -rf {} +
