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

# The installed daemon with its installed configuration, started by its launcher, serves a program that the installed uffd-run starts, has
# nothing in the directory for temporary files that would stay there if it were killed, and stops when told.
serves_a_program() {
    local socket=$stage/manager.sock log=$stage.log temporary=$stage.tmp daemon tick status=1
    exec {tick}<> <(:)
    mkdir "$temporary"
    # The launcher names the place where the daemon will be.
    sed "s|^exec /usr|exec $stage/usr|" "$stage/usr/sbin/uffd-manager" >"$stage.launcher"
    UFFD_MANAGER__listen__socket=$socket UFFD_MANAGER__metrics__port=0 TMPDIR=$temporary \
        sh "$stage.launcher" run --config "$stage/etc/uffd-manager/config.json" >"$log" 2>&1 &
    daemon=$!
    for _ in {1..300}; do
        [ ! -S "$socket" ] || break
        read -r -t 0.1 -u "$tick" || true
    done
    if "$stage/usr/bin/uffd-run" --require --socket="$socket" -- \
        /usr/bin/python3 -c 'm = bytearray(8 << 20); m[:] = b"x" * len(m); assert m.count(b"x") == len(m)'; then
        status=0
    fi
    ls -A "$temporary" >>"$log"
    rmdir "$temporary" || status=1
    kill -TERM "$daemon"
    wait "$daemon" || status=1
    grep -q 'Session 1 started' "$log" || status=1
    [ $status -eq 0 ] || cat "$log"
    rm -rf "$log" "$socket" "$temporary" "$stage.launcher"
    return $status
}

append_blank_line() { [ -s "$1" ] && echo >>"$1"; }

# The page's OPTIONS are those that the program prints.
page_has_options() {
    local program=$1 page=$2
    diff <("$program" --help | grep -oE -- '--[a-z]+' | sort -u) \
        <(sed -n '/^\.SH OPTIONS/,/^\.SH "EXIT/s/\\//gp' "$page" | grep -oE -- '--[a-z]+' | sort -u)
}

# The CLI header of the file points at native code (ECMA-335 II.25.3.3, ManagedNativeHeader).
compiled_ahead_of_time() {
    python3 - "$1" <<'PYTHON'
import struct, sys
data = open(sys.argv[1], "rb").read()
pe = struct.unpack_from("<I", data, 60)[0]
sections, optional_size = struct.unpack_from("<H", data, pe + 6)[0], struct.unpack_from("<H", data, pe + 20)[0]
optional = pe + 24
directories = optional + (112 if struct.unpack_from("<H", data, optional)[0] == 0x20B else 96)
cli = struct.unpack_from("<I", data, directories + 14 * 8)[0]
for i in range(sections):
    size, address, _, raw = struct.unpack_from("<IIII", data, optional + optional_size + i * 40 + 8)
    if address <= cli < address + size:
        sys.exit(0 if struct.unpack_from("<II", data, raw + cli - address + 64)[1] else 1)
sys.exit(1)
PYTHON
}

every_page_is_installed() {
    local page rc=0
    for page in docs/man/*.[1-8]; do
        cmp "$page" "$stage/usr/share/man/man${page##*.}/${page##*/}" || rc=1
    done
    return $rc
}

completions_parse() {
    bash -n "$stage/usr/share/bash-completion/completions/uffdctl" &&
        grep -q '^#compdef uffdctl' "$stage/usr/share/zsh/site-functions/_uffdctl" &&
        grep -q '^complete .*uffdctl' "$stage/usr/share/fish/vendor_completions.d/uffdctl.fish"
}

# The paths of the programs are those below PREFIX; that they are there is looked at in the staged root.
units_verify() {
    local dir rc=0
    dir=$(mktemp -d)
    cp "$stage"/usr/lib/systemd/system/uffd-manager* "$dir"
    sed -i "s|/usr/lib/uffd-manager|$stage/usr/lib/uffd-manager|g" "$dir"/*.service
    systemd-analyze verify --man=no "$dir"/* || rc=1
    rm -rf "$dir"
    return $rc
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
check 'Launcher_starts_the_installed_uffdctl' grep -qx 'exec /usr/lib/uffd-manager/uffdctl/uffdctl "\$@"' "$stage/usr/bin/uffdctl"
check 'Installed_uffdctl_prints_its_usage' "$stage/usr/lib/uffd-manager/uffdctl/uffdctl" --help
check 'Installed_uffd_supervise_prints_its_usage' "$stage/usr/bin/uffd-supervise" --help
check 'Manual_page_has_the_options_of_uffd_supervise' page_has_options "$stage/usr/bin/uffd-supervise" "$stage/usr/share/man/man8/uffd-supervise.8"
if grep -q 'WARNING: the package' "$stage.log"; then
    skipped=$((skipped + 1))
    echo 'skip Daemon_is_compiled_ahead_of_time: the compiler cannot be had'
else
    check 'Daemon_is_compiled_ahead_of_time' compiled_ahead_of_time "$stage/usr/lib/uffd-manager/UffdManager.Engine.dll"
fi
check 'Every_page_of_the_manual_is_installed' every_page_is_installed
check 'Shells_complete_uffdctl' completions_parse
check 'Units_are_what_systemd_takes' units_verify
if (: <>/dev/userfaultfd) 2>/dev/null; then
    check 'Installed_daemon_serves_a_program_under_the_installed_uffd_run' serves_a_program
else
    skipped=$((skipped + 1))
    echo 'skip Installed_daemon_serves_a_program_under_the_installed_uffd_run: /dev/userfaultfd cannot be opened'
fi
NO_BUILD=1 check 'Install_over_an_installation_works' stage_make install "$stage"
check 'Uninstall_works' stage_make uninstall "$stage"
check 'Uninstall_leaves_nothing' nothing_left

NO_BUILD=1 check 'Install_again_works' stage_make install "$stage"
check 'Configuration_is_installed' append_blank_line "$stage/etc/uffd-manager/config.json"
check 'Uninstall_with_a_changed_configuration_works' stage_make uninstall "$stage"
check 'Uninstall_keeps_a_changed_configuration' test -e "$stage/etc/uffd-manager/config.json"

printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]
