#!/usr/bin/env bash
# usage: scripts/bench.sh [ARGUMENT...]       arguments go to the benchmark program
# Builds everything optimised and runs the benchmarks: the manager and the C reference handler serve the same load in turn.
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

scripts/deps.sh build bench
scripts/build.sh Release
# What is installed is compiled ahead of time; the rows about a killed manager are about its start.
scripts/publish.sh
export UFFD_REPO_ROOT=$root UFFD_NATIVE_DIR=$native
mkdir -p "$artifacts/bench"
exec dotnet run --project tests/Benchmarks -c Release --no-build -- "$@"
