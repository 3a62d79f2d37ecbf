#!/usr/bin/env bash
# usage: make install [DESTDIR=] [PREFIX=/usr/local] [SYSCONFDIR=/etc]
# Publishes the daemon and installs it with its launcher, the shim, uffd-run, the protocol's header, the man pages and the default
# configuration. The manifest that it leaves behind is what uninstall goes by, so the two cannot disagree.
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=scripts/layout.sh
. "$root/scripts/layout.sh"

published=$artifacts/publish/uffd-manager
files=()
directories=()

# Makes the directories above $1 and remembers the ones that were not there.
make_parents() {
    local directory
    directory=$(dirname "$1")
    [ ! -d "$DESTDIR$directory" ] || return 0
    make_parents "$directory"
    install -d -m 755 "$DESTDIR$directory"
    directories=("$directory/" "${directories[@]}")
}

# put MODE FROM TO
put() {
    make_parents "$3"
    install -m "$1" "$2" "$DESTDIR$3"
    files+=("$3")
}

# Runs whatever happens: a half-done installation must be removable too.
write_manifest() {
    local path
    [ ${#files[@]} -gt 0 ] || return 0
    # What an earlier version installed and this one does not goes now; nobody would remember it later.
    if [ -e "$DESTDIR$manifest" ]; then
        while read -r path; do
            case $path in
            */) directories+=("$path") ;;
            "$config") files+=("$path") ;;
            *) printf '%s\n' "${files[@]}" | grep -qxF -- "$path" || rm -f "$DESTDIR$path" ;;
            esac
        done <"$DESTDIR$manifest"
    fi
    files+=("$manifest")
    printf '%s\n' "${files[@]}" "${directories[@]}" | awk '!seen[$0]++' >"$artifacts/publish/manifest"
    install -m 644 "$artifacts/publish/manifest" "$DESTDIR$manifest"
}

daemon=manager/Daemon/UffdManager.Daemon.csproj
scripts/build.sh Release $daemon
rm -rf "$published"
dotnet publish $daemon -c Release --no-build -v quiet -nologo -o "$published" \
    -p:SatelliteResourceLanguages=en
# Symbols and the XML of the documentation serve those who build, not those who run.
find "$published" \( -name '*.pdb' -o -name '*.xml' \) -delete

say "installing below $DESTDIR$PREFIX"
trap write_manifest EXIT
while read -r file; do
    mode=644
    [ ! -x "$published/$file" ] || mode=755
    put $mode "$published/$file" "$libdir/$file"
done < <(cd "$published" && find . -type f -printf '%P\n' | sort)

# A launcher and not a link: the host looks for its libraries beside the name that it was started by.
launcher=$artifacts/publish/launcher
printf '#!/bin/sh\nexec %s/uffd-manager "$@"\n' "$libdir" >"$launcher"
put 755 "$launcher" "$sbindir/uffd-manager"

put 755 "$native/uffd-run" "$bindir/uffd-run"
put 644 "$native/libuffd-shim.so" "$libdir/libuffd-shim.so"

while read -r header; do
    put 644 "protocol/include/$header" "$includedir/$header"
done < <(cd protocol/include && find . -name '*.h' -printf '%P\n' | sort)
for page in docs/man/*.[1-8]; do
    put 644 "$page" "$mandir/man${page##*.}/${page##*/}"
done

# A configuration that is there belongs to the administrator.
if [ -e "$DESTDIR$config" ]; then
    say "kept $DESTDIR$config"
else
    put 644 "$default_config" "$config"
fi
