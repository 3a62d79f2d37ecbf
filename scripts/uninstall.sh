#!/usr/bin/env bash
# usage: make uninstall [DESTDIR=] [PREFIX=/usr/local] [SYSCONFDIR=/etc]
# Removes what the manifest of the installation names. A configuration that was changed since stays, and so does every directory that
# was there before or holds something else by now. Where systemd runs, the service is stopped first.
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=scripts/layout.sh
. "$root/scripts/layout.sh"

# A stop that unit-stop repeats starts the service once more for it, which cancels whoever else is stopping it.
stop_units() {
    local tries
    systemctl --quiet stop uffd-manager-stop-again.service 2>/dev/null || true
    for tries in 1 2 3; do
        if systemctl stop "${units[@]}" && ! systemctl --quiet is-active "${units[@]}"; then
            return 0
        fi
        say "the units do not stop (try $tries)"
    done
    die 'the units do not stop: systemctl status uffd-manager says why; nothing was removed'
}

[ -e "$DESTDIR$manifest" ] || die "nothing is installed below $DESTDIR$PREFIX ($manifest is missing)"
list=$(cat "$DESTDIR$manifest")
if systemd_runs && [ -e "$unitdir/uffd-manager.service" ]; then
    # As any stop for good: programs under the manager are released where that is right, and ended where it is not.
    say 'stopping and disabling the units'
    stop_units
    systemctl disable --quiet "${units[@]}"
fi
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
if systemd_runs; then
    rm -rf /run/uffd-manager
    systemctl daemon-reload
    # A unit that failed before stays in memory by its name.
    systemctl reset-failed "${units[@]}" 2>/dev/null || true
    say 'the accounts uffd-manager and uffd stay: files may belong to them'
fi
