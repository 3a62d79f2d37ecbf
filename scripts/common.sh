# shellcheck shell=bash
# Sourced by the scripts beside it: strict mode, the repository's root, the places of the build, and how to speak.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Everything that is built; UFFD_ARTIFACTS puts it elsewhere, for a second build of the same checkout.
artifacts=${UFFD_ARTIFACTS:-$root/artifacts}
native=$artifacts/native
cd "$root"

# A build must be the same whoever runs it, and must not phone home.
[ -z "${UFFD_ARTIFACTS:-}" ] || export ArtifactsPath="$artifacts"
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_SKIP_FIRST_TIME_EXPERIENCE=1

say() { printf '==> %s\n' "$*"; }

die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# compile COMMAND...: a build that leaves no process behind, unless the caller wants its compiler and its build nodes to stay warm
# (UseSharedCompilation=true). The compiler is one of its own: to end the user's would end it under other builds.
compile() {
    local server rc=0
    if [ -n "${UseSharedCompilation:-}" ]; then
        "$@"
        return
    fi
    MSBUILDDISABLENODEREUSE=1 SharedCompilationId="uffd-manager-$$" "$@" || rc=$?
    while read -r server; do
        # Nobody there is no failure, and a compiler that does not end now does when it has had nothing to do for ten minutes.
        dotnet "$server" -shutdown "-pipename:uffd-manager-$$" </dev/null >/dev/null 2>&1 || :
    done < <(dotnet --list-sdks | sed 's|^\([^ ]*\) \[\(.*\)\]$|\2/\1/Roslyn/bincore/VBCSCompiler.dll|')
    return $rc
}

# Folders with a Makefile for native code, what is installed first: tests link against it and run it.
native_dirs() {
    local dir makefile
    for dir in client-shim supervisor; do
        [ ! -f "$dir/Makefile" ] || echo "$dir"
    done
    while read -r makefile; do
        dirname "$makefile"
    done < <(find protocol tests -name Makefile -not -path '*/artifacts/*' 2>/dev/null | sort)
}

# native_make DIR TARGET...: make in DIR with everything that is built under artifacts/native.
native_make() {
    local dir=$1
    shift
    make --no-print-directory -C "$dir" "BUILD=$native" "$@"
}

has_target() { make --no-print-directory -C "$1" "BUILD=$native" -n "$2" >/dev/null 2>&1; }
