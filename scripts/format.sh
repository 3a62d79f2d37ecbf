#!/usr/bin/env bash
# usage: scripts/format.sh
# Rewrites C# and C files in the house format; scripts/lint.sh checks the same files with the same rules.
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

scripts/deps.sh lint
dotnet format whitespace Manager.sln --no-restore
dotnet format style Manager.sln --no-restore
git ls-files -z -- '*.c' '*.h' | xargs -0 -r clang-format -i
