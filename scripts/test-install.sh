#!/usr/bin/env bash
# usage: scripts/test-install.sh
# Installs into an empty root, runs what was installed, uninstalls, and looks at what is left. Ends with `N passed, N failed, N skipped`.
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

stage=$(mktemp -d)
trap 'rm -rf "$stage" "$stage.log"' EXIT
passed=0 failed=0 skipped=0

# check SENTENCE COMMAND...
check() {
    local sentence=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
        printf 'ok   %s\n' "$sentence"
    else
        failed=$((failed + 1))
        printf 'FAIL %s\n' "$sentence"
    fi
}

nothing_left() {
    local left
    left=$(find "$stage" -mindepth 1)
    [ -z "$left" ] || {
        printf '%s\n' "$left"
        return 1
    }
}

# The installed daemon with its installed configuration serves a program that the installed uffd-run starts, and stops when told.
serves_a_program() {
    local socket=$stage/manager.sock log=$stage.log daemon tick status=1
    exec {tick}<> <(:)
    UFFD_MANAGER__listen__socket=$socket UFFD_MANAGER__metrics__port=0 \
        "$stage/usr/lib/uffd-manager/uffd-manager" run --config "$stage/etc/uffd-manager/config.json" >"$log" 2>&1 &
    daemon=$!
    for _ in {1..300}; do
        [ ! -S "$socket" ] || break
        read -r -t 0.1 -u "$tick" || true
    done
    if "$stage/usr/bin/uffd-run" --require --socket="$socket" -- \
        /usr/bin/python3 -c 'm = bytearray(8 << 20); m[:] = b"x" * len(m); assert m.count(b"x") == len(m)'; then
        status=0
    fi
    kill -TERM "$daemon"
    wait "$daemon" || status=1
    grep -q 'Session 1 started' "$log" || status=1
    [ $status -eq 0 ] || cat "$log"
    rm -f "$log" "$socket"
    return $status
}

append_blank_line() { [ -s "$1" ] && echo >>"$1"; }

# The page's OPTIONS are those that the program prints.
page_has_options() {
    local program=$1 page=$2
    diff <("$program" --help | grep -oE -- '--[a-z]+' | sort -u) \
        <(sed -n '/^\.SH OPTIONS/,/^\.SH "EXIT/s/\\//gp' "$page" | grep -oE -- '--[a-z]+' | sort -u)
}

stage_make() {
    make --no-print-directory "$1" "DESTDIR=$2" PREFIX=/usr >"$stage.log" 2>&1 || {
        cat "$stage.log"
        return 1
    }
}

check 'Install_into_an_empty_root_works' stage_make install "$stage"
check 'Installed_daemon_tells_its_version' "$stage/usr/lib/uffd-manager/uffd-manager" --version
check 'Installed_shim_is_a_shared_object' grep -q ELF "$stage/usr/lib/uffd-manager/libuffd-shim.so"
check 'Installed_uffd_run_prints_its_usage' "$stage/usr/bin/uffd-run" --help
check 'Manual_page_has_the_options_of_uffd_run' page_has_options "$stage/usr/bin/uffd-run" "$stage/usr/share/man/man1/uffd-run.1"
check 'Launcher_starts_the_installed_daemon' grep -qx 'exec /usr/lib/uffd-manager/uffd-manager "\$@"' "$stage/usr/sbin/uffd-manager"
if (: <>/dev/userfaultfd) 2>/dev/null; then
    check 'Installed_daemon_serves_a_program_under_the_installed_uffd_run' serves_a_program
else
    skipped=1
    echo 'skip Installed_daemon_serves_a_program_under_the_installed_uffd_run: /dev/userfaultfd cannot be opened'
fi
check 'Install_over_an_installation_works' stage_make install "$stage"
check 'Uninstall_works' stage_make uninstall "$stage"
check 'Uninstall_leaves_nothing' nothing_left

check 'Install_again_works' stage_make install "$stage"
check 'Configuration_is_installed' append_blank_line "$stage/etc/uffd-manager/config.json"
check 'Uninstall_with_a_changed_configuration_works' stage_make uninstall "$stage"
check 'Uninstall_keeps_a_changed_configuration' test -e "$stage/etc/uffd-manager/config.json"

printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]
