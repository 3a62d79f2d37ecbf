#!/usr/bin/env bash
# usage: scripts/build.sh [Debug|Release]
# Builds the native parts, then the solution. Warnings are errors in both (client-shim/Makefile, Directory.Build.props).
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

configuration=${1:-Release}
scripts/deps.sh build

for dir in $(native_dirs); do
    say "building $dir"
    native_make "$dir" all
done

say "building Manager.sln ($configuration)"
dotnet build Manager.sln -c "$configuration" -v quiet -nologo
