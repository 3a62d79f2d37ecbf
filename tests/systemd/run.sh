#!/usr/bin/env bash
# usage: tests/systemd/run.sh        NO_BUILD=1: with what lies in artifacts/; SEED=N: the kills at the same moments as then
# The manager under a real systemd, in a container that runs from this machine's root directory: installed, started by its socket, killed,
# restarted, upgraded and stopped, under programs that know every byte of their memory. The checks build on each other. Ends with
# `N passed, N failed, N skipped`.
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../../scripts/common.sh"
# shellcheck source=tests/systemd/container.sh
. "$root/tests/systemd/container.sh"
# shellcheck source=tests/systemd/manager.sh
. "$root/tests/systemd/manager.sh"
# shellcheck source=tests/systemd/load.sh
. "$root/tests/systemd/load.sh"
# shellcheck source=tests/systemd/drop-ins.sh
. "$root/tests/systemd/drop-ins.sh"

passed=0 failed=0 skipped=0
old=$artifacts/old/publish
journal=$artifacts/test-results/systemd.journal
RANDOM=${SEED:=$((RANDOM * 32768 + RANDOM))}

summary() {
    printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
    [ "$failed" -eq 0 ]
}

# check SENTENCE COMMAND...
check() {
    local sentence=$1 begun=$SECONDS
    shift
    if "$@"; then
        passed=$((passed + 1))
        printf 'ok   %s (%d s)\n' "$sentence" $((SECONDS - begun))
    else
        failed=$((failed + 1))
        printf 'FAIL %s (%d s)\n' "$sentence" $((SECONDS - begun))
        [ -z "$leader" ] || what_happened
    fi
}

# At once, because what comes after it fails alike and buries it.
what_happened() {
    inside journalctl --no-pager --unit="$unit" --priority=warning --lines=15 --output=short-monotonic || true
    loads_that_ended
}

# needed SENTENCE COMMAND...: like check, but nothing after it makes sense without it.
needed() {
    local failed_before=$failed
    check "$@"
    [ "$failed" -eq "$failed_before" ] || exit 1
}

finish() {
    local status=$?
    trap - EXIT
    mkdir -p "$artifacts/test-results"
    [ -z "$leader" ] || inside journalctl --no-pager --output=short-monotonic >"$journal" || true
    if [ "$failed" -gt 0 ] || [ $status -ne 0 ]; then
        tail -n 100 "$journal" || true
        load_logs
        echo "the whole journal: $journal; the kills at the same moments: SEED=$SEED"
    fi
    container_end
    [ $status -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
    summary
    exit $?
}

build() {
    [ -z "${NO_BUILD:-}" ] || return 0
    for dir in $(native_dirs); do
        native_make "$dir" all || return 1
    done
    scripts/publish.sh || return 1
    # The one that is upgraded from. It is a debug build, which can be told to stand still.
    UFFD_ARTIFACTS=$artifacts/old PUBLISHED=$old scripts/publish.sh --debug Version=0.0.1 RunAnalyzers=false
}

# ---- installing ----

installs_the_old_version() {
    inside env UFFD_ARTIFACTS=$inside_artifacts PUBLISHED=$inside_artifacts/old/publish NO_BUILD=1 make -s -C $inside_checkout install >"$place/install.log" 2>&1 || {
        cat "$place/install.log"
        return 1
    }
}

installs_the_new_version() {
    inside env UFFD_ARTIFACTS=$inside_artifacts NO_BUILD=1 make -s -C $inside_checkout install >"$place/install.log" 2>&1 || {
        cat "$place/install.log"
        return 1
    }
}

accounts_are_there() {
    [ "$(inside id -nG uffd-manager)" = uffd ] && [ "$(inside stat -c '%U %G %a' /run/uffd-manager)" = 'uffd-manager uffd 2755' ]
}

# `udevadm test` does what the daemon of udev would; that does not run in containers.
udev_rule_gives_the_device_to_the_group() {
    inside udevadm test --action=add /sys/class/misc/userfaultfd >"$place/udev.log" 2>&1
    [ "$(inside stat -c '%U %G %a' /dev/userfaultfd)" = 'root uffd 660' ] || {
        grep -i userfaultfd "$place/udev.log"
        return 1
    }
}

sockets_listen_and_nothing_runs() {
    inside systemctl --quiet enable --now uffd-manager.socket uffd-manager-control.socket &&
        [ "$(state)" = inactive ] &&
        [ "$(inside stat -c '%U %G %a' /run/uffd-manager/manager.sock)" = 'root uffd 660' ]
}

outsiders_cannot_connect() {
    inside setpriv --reuid=nobody --regid=nogroup --clear-groups /usr/bin/python3 - <<PYTHON
import socket, sys
try:
    socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect("$socket")
except PermissionError:
    sys.exit(0)
sys.exit("connected")
PYTHON
}

# ---- running ----

first_client_starts_the_service() {
    load_start zero --kinds z --threads 1 --fields 2 && wait_for 30 load_runs zero && [ "$(state)" = active ]
}

runs_with_what_it_needs_and_no_more() {
    local pid status
    pid=$(main_pid)
    status=$(inside cat "/proc/$pid/status")
    # CAP_KILL 5, CAP_SYS_PTRACE 19, CAP_SYS_NICE 23
    [ "$(inside stat -c %U "/proc/$pid")" = uffd-manager ] &&
        grep -q '^CapEff:.*0000000000880020$' <<<"$status" && grep -q '^CapBnd:.*0000000000880020$' <<<"$status" &&
        grep -q '^NoNewPrivs:.*1$' <<<"$status" && grep -q '^Seccomp:.*2$' <<<"$status" &&
        [ "$(inside ps -L -p "$pid" -o ni=,comm= | awk '/uffd-loop/ && $1 < 0' | wc -l)" -gt 0 ]
}

# 15 programs with a session each are what the tenant of uid uffd-few may have.
crowd_of_sessions_fills_its_tenant() {
    crowd_start 15 && refuses_one_more_in_the_crowd
}

loads_start() {
    load_start bare --kinds fzps --write-protect --fork-interval 300 &&
        load_start kept --kinds fzps --fork-interval 400 --keeper &&
        load_start_shimmed shimmed &&
        wait_for 30 load_runs bare && wait_for 30 load_runs kept && wait_for 30 load_runs shimmed
}

watchdog=3
stalled_loop_is_restarted() {
    # One that stands still at its 2000th turn, once, and a watchdog that barks soon.
    drop_in 'Environment=UFFD_MANAGER_CRASH_AT=loop-turn:2000:stall UFFD_MANAGER_CRASH_ONCE=/run/uffd-manager/stalled' "WatchdogSec=$watchdog"
    restart && wait_for 30 journal_says 'Watchdog timeout' && wait_for 20 is_active && [ "$(restarts)" -ge 1 ] && loads_go_on &&
        inside test -e /run/uffd-manager/stalled
}

upgrade_changes_the_version() {
    drop_in
    [ "$(version)" = 0.0.1 ] && installs_the_new_version && loads_go_on && restart && loads_go_on && [ "$(version)" != 0.0.1 ] &&
        inside rm -f /run/uffd-manager/stalled
}

survives_50_kills() {
    local i
    # Automatic restarts are counted from the last start job on.
    restart || return 1
    for ((i = 1; i <= 50; i++)); do
        # Every other one finds it at work, the rest wherever it has got to.
        [ $((i % 2)) -eq 0 ] || wait_for 20 is_active || return 1
        pause_ms $((RANDOM % 600))
        wait_for 10 kill_manager && wait_for 10 restarted "$i" || return 1
        [ $((i % 10)) -ne 0 ] || loads_go_on || return 1
    done
    loads_go_on
}

survives_10_restarts() {
    local i
    for ((i = 1; i <= 10; i++)); do
        restart || return 1
        pause_ms $((RANDOM % 300))
    done
    loads_go_on
}

reload_is_taken_and_nobody_notices() {
    local pid
    pid=$(main_pid)
    configure 'limits_of_few=16'
    inside systemctl reload uffd-manager.service && wait_for 10 one_more_in_the_crowd && [ "$(main_pid)" = "$pid" ] && loads_go_on &&
        configure 'limits_of_few=15' && inside systemctl reload uffd-manager.service && wait_for 10 refuses_one_more_in_the_crowd
}

keeps_the_store_over_reexecution() {
    inside systemctl daemon-reexec && wait_for 20 is_active && kill_manager && wait_for 20 is_active && loads_go_on && crowd_touches_a_page
}

broken_configuration_is_waited_out() {
    inside sh -c 'echo "{" >/etc/uffd-manager/config.d/50-broken.json'
    # The start fails, and the unit does not rest.
    if inside systemctl restart uffd-manager.service 2>/dev/null; then
        echo 'it started with a broken configuration'
        return 1
    fi
    wait_for 15 journal_says 'status=75' || return 1
    pause_ms 1500
    [ "$(state)" != failed ] && [ "$(stored)" -gt 0 ] || return 1
    inside rm /etc/uffd-manager/config.d/50-broken.json
    wait_for 20 is_active && loads_go_on && crowd_touches_a_page
}

sessions_are_as_before() {
    crowd_touches_a_page && refuses_one_more_in_the_crowd && [ "$(sessions_of few)" -eq 15 ] &&
        wait_for 10 store_fits_the_sessions
}

control_socket_answers() {
    inside uffdctl --json session list | python3 -c 'import json, sys; sys.exit(len(json.load(sys.stdin)["sessions"]) < 15)'
}

# Everything is checked once more by the clients themselves, and none may have waited longer than the manager was away.
loads_end_with_every_byte_right() {
    local name stall limit rc=0
    limit=$(($(longest_absence_ms $watchdog) + 2000))
    for name in zero bare kept shimmed; do
        load_end "$name" || rc=1
        stall=$(load_stall "$name")
        if [ -n "$stall" ] && [ "$stall" -gt "$limit" ]; then
            echo "$name waited for $stall ms; the manager was away for $((limit - 2000)) ms at most"
            rc=1
        fi
    done
    return $rc
}

# ---- stopping ----

# By the rules of uffd-manager(8): zeros are released, contents of a file with nobody to keep them are killed, with a keeper they wait.
stop_ends_sessions_by_the_rules() {
    load_start_shimmed released && load_start killed --kinds f && load_start_shimmed waiting /srv/uffd/scratch/source &&
        wait_for 30 load_runs released && wait_for 30 load_runs killed && wait_for 30 load_runs waiting || return 1
    inside systemctl stop "$unit" uffd-manager.socket uffd-manager-control.socket || return 1
    [ "$(state)" = inactive ] && has_nothing_stored && wait_for 10 load_was_killed killed && load_lives waiting &&
        load_advances released "$(load_operations released)" 10
}

who_waited_goes_on_with_the_next() {
    local before
    before=$(load_operations waiting)
    inside systemctl start uffd-manager.socket "$unit" && load_advances waiting "$before" 30 && load_end waiting && load_end released
}

# A manager that is still starting is told to hand over, and the stop would have systemd close the store with the sessions in it.
stop_in_the_middle_of_a_restart_ends_sessions() {
    local cursor
    load_start killed --kinds f && wait_for 30 load_runs killed || return 1
    cursor=$(journal_end)
    inside systemctl --no-block restart "$unit"
    wait_for 10 is_starting || return 1
    # systemctl says that its job was canceled: the manager is started once more, to end them.
    inside systemctl stop "$unit" 2>/dev/null || true
    wait_for 60 load_was_killed killed && wait_for 30 has_nothing_stored && journal_says 'the stop left [0-9]* descriptors' "--after-cursor=$cursor"
}

uninstall_stops_and_removes() {
    inside systemctl start uffd-manager.service || return 1
    inside env UFFD_ARTIFACTS=$inside_artifacts make -s -C $inside_checkout uninstall >"$place/uninstall.log" 2>&1 || {
        cat "$place/uninstall.log"
        return 1
    }
    local left
    left=$(inside find /usr/local /run/uffd-manager /etc/systemd/system -name '*uffd-manager*' 2>/dev/null)
    if [ -n "$left" ] || [ "$(property LoadState)" != not-found ] || inside pgrep -x uffd-manager; then
        echo "left: $left; the unit is $(property LoadState)"
        return 1
    fi
}

why_not=$(container_why_not)
if [ -n "$why_not" ]; then
    if [ "${UFFD_TEST_REQUIRE:-}" = all ]; then
        failed=1
        echo "FAIL Container_boots: $why_not"
    else
        skipped=1
        echo "skip Container_boots: $why_not"
    fi
    summary
    exit $?
fi

trap finish EXIT
needed 'Old_and_new_version_are_built' build
container_make
needed 'Container_boots' container_boot
needed 'Make_install_works' installs_the_old_version
check 'Install_makes_accounts_and_directory' accounts_are_there
needed 'Udev_rule_gives_the_device_to_the_group' udev_rule_gives_the_device_to_the_group
load_prepare
configure 'limits_of_few=15'
check 'Sockets_listen_before_anything_runs' sockets_listen_and_nothing_runs
check 'Users_outside_of_the_group_cannot_connect' outsiders_cannot_connect
needed 'First_client_starts_the_service' first_client_starts_the_service
check 'Service_runs_as_its_user_with_three_capabilities_and_a_filter' runs_with_what_it_needs_and_no_more
needed 'Programs_of_every_kind_run_under_it' loads_start
check 'Tenant_is_refused_a_session_above_its_limit' crowd_of_sessions_fills_its_tenant
check 'Watchdog_restarts_a_manager_with_a_stalled_loop' stalled_loop_is_restarted
check 'Upgrade_goes_on_with_every_session' upgrade_changes_the_version
check 'Programs_outlive_50_kills_at_random_moments' survives_50_kills
check 'Programs_outlive_10_restarts' survives_10_restarts
check 'Reload_changes_a_limit_and_no_session' reload_is_taken_and_nobody_notices
check 'Store_outlives_reexecution_of_systemd' keeps_the_store_over_reexecution
check 'Broken_configuration_at_a_restart_is_waited_out' broken_configuration_is_waited_out
check 'Sessions_and_limits_are_as_before' sessions_are_as_before
check 'Control_socket_answers_after_all_that' control_socket_answers
needed 'Image_for_a_VM_of_another_user_is_there' drop_ins_prepare
check 'Unit_alone_makes_no_socket_in_a_jail_and_names_the_drop_in' unit_alone_refuses_a_jail
check 'Jailer_drop_in_gives_a_socket_to_the_jails_user_whose_VM_is_served' jailer_drop_in_serves_a_vm
check 'Live_snapshot_is_refused_without_its_drop_in_which_is_named' live_snapshot_needs_its_drop_in
check 'Snapshots_drop_in_lets_a_live_snapshot_be_written_in_its_directory' snapshots_drop_in_lets_it_be_written
check 'Without_drop_ins_the_unit_is_as_before_and_the_VM_right' drop_ins_are_taken_away
check 'Every_byte_is_right_and_nobody_waited_longer_than_the_manager_was_away' loads_end_with_every_byte_right
check 'Stop_ends_sessions_by_the_rules' stop_ends_sessions_by_the_rules
check 'Program_with_a_keeper_goes_on_with_the_next_manager' who_waited_goes_on_with_the_next
check 'Stop_in_the_middle_of_a_restart_ends_sessions_too' stop_in_the_middle_of_a_restart_ends_sessions
check 'Uninstall_stops_the_service_and_removes_it' uninstall_stops_and_removes
