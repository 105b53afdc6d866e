# The everyday commands. What they do in detail: CMakePresets.json, tools/.
#
#   make             build/vitrine              make test        everything, live guests included
#   make install     into PREFIX, DESTDIR       make test-fast   unit tests only
#   make demo        look into a real guest     make fuzz        each fuzz target for FUZZ_SECONDS
#   make setup       packages for all of it     make bench       benchmarks
#   make package     Debian packages, in build/packages
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 300
PYTHON := /usr/bin/python3
export NINJA_STATUS := [%f/%t %es] 

.PHONY: all setup configure install package demo test test-fast fuzz bench format check clean

all: configure
	@cmake --build build --target vitrine vitrine_manuals vitrine_python

configure:
	@tools/setup --check build
	@tools/configure dev

setup:
	@tools/setup build package demo test

install: all
	DESTDIR="$(DESTDIR)" cmake --install build --prefix "$(PREFIX)"

package:
	@tools/setup build package
	@tools/configure release
	@cmake --build build/release
	@rm -rf build/packages
	@cd build/release && cpack
	@rm -rf build/packages/_CPack_Packages
	@ls -l build/packages/*.deb

demo:
	@tools/setup build demo
	@tools/configure dev
	@cmake --build build --target vitrine
	@$(PYTHON) tools/demo

test:
	@tools/setup build package demo test
	@$(PYTHON) tools/test

test-fast:
	@tools/setup --check build
	@$(PYTHON) tools/test unit

fuzz:
	@tools/setup build demo test
	@$(PYTHON) tools/test --fuzz-seconds $(FUZZ_SECONDS) --keep-corpus fuzz

bench:
	@tools/setup build demo test
	@tools/configure bench
	@cmake --build build/bench
	@for program in build/bench/programs/*_bench; do \
	    case $$program in */guest_bench) continue ;; esac; \
	    echo "$$program"; $$program --benchmark_counters_tabular=true || exit 1; \
	done
	@$(PYTHON) bench/run

format:
	@tools/format

check:
	@$(PYTHON) tools/test static

# Leaves what was downloaded (build/guests).
clean:
	@[ ! -f build/build.ninja ] || cmake --build build --target clean
	@rm -rf build/asan build/tsan build/fuzz build/debug build/release build/coverage build/bench build/install-test build/package-test build/packages build/test-logs
