#!/usr/bin/env bash
# usage: make uninstall [DESTDIR=] [PREFIX=/usr/local] [SYSCONFDIR=/etc]
# Removes what the manifest of the installation names. A configuration that was changed since stays, and so does every directory that
# was there before or holds something else by now.
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=scripts/layout.sh
. "$root/scripts/layout.sh"

[ -e "$DESTDIR$manifest" ] || die "nothing is installed below $DESTDIR$PREFIX ($manifest is missing)"
list=$(cat "$DESTDIR$manifest")
say "uninstalling from $DESTDIR$PREFIX"
while read -r path; do
    case $path in
    */)
        [ ! -d "$DESTDIR$path" ] || rmdir --ignore-fail-on-non-empty "$DESTDIR$path"
        ;;
    "$config")
        if [ ! -e "$DESTDIR$path" ] || cmp -s "$default_config" "$DESTDIR$path"; then
            rm -f "$DESTDIR$path"
        else
            say "kept $DESTDIR$path: it was changed"
        fi
        ;;
    *)
        rm -f "$DESTDIR$path"
        ;;
    esac
done <<<"$list"
