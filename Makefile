# Everything a person types. Each target does its own set-up in .venv; running it again is quick.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# uv reads these: one copy of each wheel on disk, and no look-ups beyond the pinned set. What is installed is compiled at
# once: where Python is told to keep no bytecode, each process of ours would compile torch anew for seconds.
UV := $(BIN)/uv pip install --python $(BIN)/python --compile-bytecode

.DEFAULT_GOAL := help
.PHONY: help demo up test test-fast test-servers test-cluster test-deploy test-deploy-updater fuzz fuzz-images bench-serving bench-swaps rehearsal test-pauses simulate mutation check requirements clean

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-20s %s\n", $$1, $$2}'

demo: $(VENV)/.runtime  ## the whole story on real data: learn, serve, learn more, compare, stop
	$(BIN)/lucir demo

up: $(VENV)/.runtime  ## start storage, TorchServe and the updater on this machine; Ctrl-C stops them
	$(BIN)/lucir up

# As many tests at a time: one more than two cores, since many wait for processes. A file's tests stay together, for what
# they share.
WORKERS ?= 3
PYTEST := $(BIN)/pytest -n $(WORKERS) --dist loadfile

test: $(VENV)/.dev  ## every test (real TorchServe, real training; 21 minutes on 2 cores)
	$(PYTEST)

test-fast: $(VENV)/.dev  ## the everyday tests (4 minutes)
	$(PYTEST) -m "not slow"

test-servers: $(VENV)/.dev  ## the store on MinIO, rclone, Swift and Ceph (installs them: Go; root on Debian)
	sh tools/servers/install_minio.sh
	PYTHON=$(BIN)/python sh tools/servers/install_rclone.sh
	sh tools/servers/install_debian.sh swift ceph
	$(BIN)/pytest tests/model_store

test-cluster: $(VENV)/.dev  ## the manifests on a real Kubernetes API server, and kube-score (Go; etcd-server, kubectl)
	sh tools/servers/install_kubernetes.sh
	sh tools/servers/install_kube_score.sh
	TEST_CLUSTER=1 $(BIN)/pytest tests/deploy/test_cluster.py

test-deploy: $(VENV)/.dev  ## build the serving image with podman and run it, read-only (root on Debian; 10 minutes at first)
	sh tools/servers/install_podman.sh
	TEST_DEPLOY=1 $(BIN)/pytest -rP tests/deploy/test_images.py

test-deploy-updater: $(VENV)/.dev  ## the same for the updater's image of 7 GB (30 GB of disk while it is built, 20 minutes)
	sh tools/servers/install_podman.sh
	TEST_DEPLOY_UPDATER=1 $(BIN)/pytest -rP tests/deploy/test_updater_image.py

fuzz: $(VENV)/.dev  ## 100,000 strange requests for the uvicorn engine (FUZZ_INPUTS, FUZZ_SEED)
	FUZZ_INPUTS=$${FUZZ_INPUTS:-100000} $(BIN)/pytest tests/handlers/server/test_fuzz.py --timeout 7200

fuzz-images: $(VENV)/.dev  ## 10,000 mutated image files: an image or the documented error (FUZZ_IMAGES, FUZZ_SEED)
	FUZZ_IMAGES=$${FUZZ_IMAGES:-10000} $(BIN)/pytest tests/handlers/inference/test_mutated_images.py --timeout 7200

bench-serving: $(VENV)/.dev  ## both engines and their peers, two networks (40 minutes; PEERS_PYTHON: an environment with theirs)
	$(BIN)/python -m benchmarks.serving.run --rates 50 100 200 400 800 $(if $(PEERS_PYTHON),--peers-python $(PEERS_PYTHON)) \
	  --seconds 2 --output benchmarks/serving/results.json
	$(BIN)/python -m benchmarks.serving.run --preset photo --rates 25 50 100 200 400 \
	  $(if $(PEERS_PYTHON),--peers-python $(PEERS_PYTHON)) --seconds 2 --output benchmarks/serving/photo.json

bench-swaps: $(VENV)/.dev  ## swaps under load: how long, whether a request fails, memory (20 minutes)
	$(BIN)/python -m benchmarks.serving.swaps --output benchmarks/serving/swaps.json

rehearsal: $(VENV)/.dev  ## the papers' whole suite with tiny networks: cut off, killed, moved, finished (minutes)
	$(BIN)/python -m benchmarks.rehearsal.run --output benchmarks/rehearsal/result.json

test-pauses: $(VENV)/.dev  ## stop an updater before every call of the store, on a folder and on MinIO (about an hour)
	sh tools/servers/install_minio.sh
	for kind in drop provisional edit; do for store in directory minio; do \
	  $(BIN)/python -m tools.faults.pauses --kind $$kind --store $$store || exit 1; done; done

COUNT ?= 10000
simulate: $(VENV)/.dev  ## histories of two updaters, followers and a person on a simulated store: COUNT=10000
	$(BIN)/python -m tools.simulation --count $(COUNT)

mutation: $(VENV)/.dev  ## take out a hold, precondition, sync or refusal, or exchange two writes: do the tests notice?
	$(BIN)/python -m tools.mutation

check: $(VENV)/.dev  ## lint, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

requirements: $(VENV)/.uv  ## compile the hash-pinned requirements anew
	cd requirements && for name in uv runtime serving server dev; do \
	  ../$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header $$name.in -o $$name.txt || exit 1; done

clean:  ## remove the environment and the caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/.uv: requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) --version 2>&1): run make with PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "$(PYTHON) has no venv module: install it (Debian: apt-get install python3-venv)"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

$(VENV)/.runtime: $(VENV)/.uv requirements/runtime.txt pyproject.toml
	@echo "installing into $(VENV) (once): 3.5 GB to download, 6.6 GB on disk, most of it CUDA"
	@$(UV) --require-hashes -r requirements/runtime.txt
	@$(UV) --quiet --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q handlers lucir_core model_store
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements/dev.txt
	@$(UV) --quiet --require-hashes -r requirements/dev.txt
	@touch $@
