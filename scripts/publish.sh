#!/usr/bin/env bash
# usage: scripts/publish.sh [--debug] [NAME=VALUE...]        MSBuild properties, for example Version=0.2.0
# Publishes the programs that `make install` installs, the daemon and uffdctl, into artifacts/publish/, compiled ahead of time for this
# machine (ReadyToRun): a manager that comes back after a crash has clients waiting, and half of its start would be the compiler's.
# --debug publishes the debug build, which has nothing of that; PUBLISHED=DIR says where to.
# Without the compiler's package, which restore fetches, they are published plain: the same programs, slower to start.
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

: "${PUBLISHED:=$artifacts/publish}"
configuration=Release
if [ "${1:-}" = --debug ]; then
    configuration=Debug
    shift
fi
properties=()
for property; do
    properties+=("-p:$property")
done

case $(uname -m) in
x86_64) runtime=linux-x64 ;;
aarch64) runtime=linux-arm64 ;;
*) die "no runtime identifier for $(uname -m)" ;;
esac

# publish PROJECT NAME
publish() {
    local project=$1 out=$PUBLISHED/$2 log=$PUBLISHED/$2.log
    local plain=(dotnet publish "$project" -c "$configuration" -v quiet -nologo -o "$out" -p:SatelliteResourceLanguages=en "${properties[@]}")
    say "publishing $2 ($configuration)"
    rm -rf "$out"
    if [ "$configuration" = Debug ]; then
        compile "${plain[@]}"
        return
    fi
    # The RuntimeIdentifier decides about the paths of the output too, so that this build and the plain one do not disturb each other.
    if ! compile "${plain[@]}" -r "$runtime" --self-contained false -p:PublishReadyToRun=true >"$log" 2>&1; then
        if ! grep -q 'NU1101\|NU1102\|NU1301\|NETSDK1094' "$log"; then
            cat "$log" >&2
            die "cannot publish $2"
        fi
        say "WARNING: the package microsoft.netcore.app.crossgen2.$runtime cannot be had; $2 is published without code compiled ahead of time and takes longer to start"
        rm -rf "$out"
        compile "${plain[@]}"
    fi
    # Symbols and the XML of the documentation serve those who build, not those who run.
    find "$out" \( -name '*.pdb' -o -name '*.xml' \) -delete
}

mkdir -p "$PUBLISHED"
publish manager/Daemon/UffdManager.Daemon.csproj uffd-manager
publish manager/Cli/UffdManager.Cli.csproj uffdctl
