#!/usr/bin/env bash
# usage: scripts/build.sh [Debug|Release [PROJECT]]
# Builds the native parts, then the solution, or the one project with what it depends on. Warnings are errors in both (client-shim/Makefile, Directory.Build.props).
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

configuration=${1:-Release}
project=${2:-Manager.sln}
scripts/deps.sh build

for dir in $(native_dirs); do
    say "building $dir"
    native_make "$dir" all
done

say "building $project ($configuration)"
compile dotnet build "$project" -c "$configuration" -v quiet -nologo
