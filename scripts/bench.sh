#!/usr/bin/env bash
# usage: scripts/bench.sh [ARGUMENT...]       arguments go to the benchmark program
# Builds everything optimised and runs the benchmarks: the manager and the C reference handler serve the same load in turn.
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

scripts/deps.sh build bench
scripts/build.sh Release tests/Benchmarks/UffdManager.Benchmarks.csproj
# The manager as it is installed, compiled ahead of time.
scripts/publish.sh
export UFFD_REPO_ROOT=$root UFFD_NATIVE_DIR=$native
mkdir -p "$artifacts/bench"
exec dotnet run --project tests/Benchmarks -c Release --no-build -- "$@"
