#!/usr/bin/env bash
# usage: scripts/test.sh [NAME...]        NAME: Linux, Protocol, Engine, Daemon, EndToEnd, Dashboard, native, install, systemd, show; none = all
# Installs what the tests need, builds, runs every test project one after the other (they share two things that do not divide: CPU time
# and the kernel's userfaultfd limits), and prints `N passed, N failed, N skipped` as the very last line.
#
# The tests run the Debug build: assertions are on, and batches are small, so that the paths for more than one batch are taken.
# CONFIGURATION=Release tests the optimised build instead.
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

configuration=${CONFIGURATION:-Debug}
results=$artifacts/test-results
# A test that gets nowhere for this long is killed with its host. A project that outlives the second (in seconds) is ended whatever it does:
# some three times what the longest needs on an idle machine, because a machine may be that busy. And all of them together end within the
# third: who waits for this gives up after half an hour, and what has not been printed by then is lost.
hang_timeout=5m
project_timeout=${UFFD_TEST_PROJECT_TIMEOUT:-1200}
budget=${UFFD_TEST_BUDGET:-1620}
only=("$@")

passed=0 failed=0 skipped=0
failures=()

add() {
    passed=$((passed + $1))
    failed=$((failed + $2))
    skipped=$((skipped + $3))
}

fail() {
    failed=$((failed + 1))
    failures+=("$1")
}

# limit SECONDS: that, or what is left of the budget.
limit() {
    local left=$((budget - SECONDS))
    echo $((left < $1 ? left : $1))
}

# within SECONDS COMMAND...: ends the command after that time, or when the budget is used up; 124 then.
within() {
    local seconds
    seconds=$(limit "$1")
    shift
    [ "$seconds" -gt 0 ] || return 124
    timeout --kill-after=30s "$seconds" "$@"
}

# has_time NAME: whether there is any left for it; it has failed if not.
has_time() {
    [ "$SECONDS" -ge "$budget" ] || return 0
    fail "$1: not run, as the time for all tests ($budget s) was over"
    return 1
}

# how_it_ended CODE: of what ran under `within`.
how_it_ended() {
    case $1 in
    124 | 137) echo "ended after $((SECONDS - began)) s, as it did not end by itself" ;;
    *) echo "exit code $1" ;;
    esac
}

finish() {
    if [ $((passed + failed)) -eq 0 ]; then
        fail 'no test ran'
    fi
    if [ ${#failures[@]} -gt 0 ]; then
        printf '\n'
        printf 'FAILED: %s\n' "${failures[@]}"
    fi
    mkdir -p "$results"
    echo "$passed $failed $skipped" >"$results/summary"
    printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
    [ "$failed" -eq 0 ]
}

selected() {
    local name
    [ ${#only[@]} -gt 0 ] || return 0
    for name in "${only[@]}"; do
        [ "$name" != "$1" ] || return 0
    done
    return 1
}

# Where everything that the tests want is certainly there, a skipped test is a failure: CI, and root with all capabilities on a kernel
# that has all features (6.10). Elsewhere it says why it was skipped. An explicit setting wins.
require_all() {
    [ "${CI:-}" != true ] || return 0
    local effective last major minor
    effective=$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)
    last=$(cat /proc/sys/kernel/cap_last_cap)
    IFS=.- read -r major minor _ < <(uname -r)
    [ "$(id -u)" -eq 0 ] && [ $((0x$effective)) -eq $(((1 << (last + 1)) - 1)) ] &&
        [ $((major * 1000 + minor)) -ge 6010 ] && [ -c /dev/userfaultfd ]
}

# Thousands of sessions are thousands of descriptors. Not the hard limit itself: some programs close every possible descriptor one by one.
raise_nofile() {
    local hard want=65536
    hard=$(ulimit -Hn)
    if [ "$hard" != unlimited ] && [ "$hard" -lt $want ]; then
        want=$hard
    fi
    ulimit -Sn "$want"
}

# Clients with userfaultfds of every kind, forks that are followed, processes that are killed: these projects are about what only root
# may do everywhere. The others skip test by test.
needs_root() {
    case $1 in
    Engine | Daemon | EndToEnd) [ "$(id -u)" -ne 0 ] ;;
    *) false ;;
    esac
}

# failed_tests LOG: of what `dotnet test` printed, a line for each failed test: its name, what it says (head and tail of what is long: a log
# ends with its cause), and where. They are printed again at the very end, because often the end is all that is kept of a run.
failed_tests() {
    awk '
        function short(text) {
            return length(text) <= 1200 ? text : substr(text, 1, 600) " […] " substr(text, length(text) - 599)
        }
        function flush() {
            if (name != "") print name ": " short(text) (place == "" ? "" : " (" place ")")
            name = ""
        }
        /^  Failed / { flush(); name = $0; sub(/^  Failed /, "", name); sub(/ \[[^\[]*\]$/, "", name); text = ""; place = ""; part = ""; next }
        name == "" { next }
        /^  Error Message:/ { part = "text"; next }
        /^  Stack Trace:/ { part = "stack"; next }
        /^  (Passed|Skipped|Standard) / || /^(Passed|Failed)! / { flush(); next }
        part == "text" { sub(/^ +/, ""); if ($0 != "") text = text (text == "" ? "" : " | ") $0 }
        part == "stack" && place == "" && match($0, /[^\/]*\.cs:line [0-9]+/) { place = substr($0, RSTART, RLENGTH) }
        END { flush() }
    ' "$1"
}

# skip_project FILE NAME: counts what is not run, so that nobody takes the rest for the whole.
skip_project() {
    local count
    count=$(within 120 dotnet test "$1" -c "$configuration" --no-build --nologo --list-tests </dev/null | grep -c '^    ')
    if [ "${UFFD_TEST_REQUIRE:-}" = all ]; then
        fail "$2: needs root"
    else
        say "skipping $2: its $count tests need root"
        add 0 0 "$count"
    fi
}

# end_test_host TRX GROUP: kills what runs the tests whose results are to be in the first file. `dotnet test` itself then writes down those that
# it has; a signal to all of it would lose them. The second file gets the process group, in which are those whom the tests have left behind.
end_test_host() {
    local console host
    for console in $(pgrep -f -- "LogFileName=$1"); do
        for host in $(pgrep -P "$console" -f 'testhost\.dll'); do
            ps -o pgid= -p "$host" >"$2" || true
            kill -KILL "$host" 2>/dev/null || true
        done
    done
}

# run_project FILE NAME: one test project; counts from its trx file, because only that survives every way to end.
run_project() {
    local project=$1 name=$2 trx=$results/$2.trx log=$results/$2.log group=$results/$2.group rc=0 began=$SECONDS seconds watcher total executed ok bad test
    has_time "$name" || return 0
    say "testing $name"
    rm -f "$trx" "$group"
    seconds=$(limit "$project_timeout")
    # The tests are not what is in the background: a shell has such commands ignore SIGINT. What waits, waits for a pipe that never has anything
    # to read, which takes no process that would be left behind.
    { exec {never}<> <(:); read -r -t "$seconds" -u "$never" || end_test_host "$trx" "$group"; } &
    watcher=$!
    timeout --kill-after=30s $((seconds + 60)) \
        dotnet test "$project" -c "$configuration" --no-build --nologo \
        --logger 'console;verbosity=minimal' --logger "trx;LogFileName=$trx" \
        --blame --blame-hang-timeout "$hang_timeout" --blame-hang-dump-type none \
        --results-directory "$results/$name" </dev/null >"$log" 2>&1 || rc=$?
    kill "$watcher" 2>/dev/null || true
    wait "$watcher" 2>/dev/null || true
    if [ -s "$group" ]; then
        kill -KILL -- "-$(tr -d ' ' <"$group")" 2>/dev/null || true
    fi
    cat "$log"

    read -r total executed ok bad < <(
        sed -n 's/.*<Counters total="\([0-9]*\)" executed="\([0-9]*\)" passed="\([0-9]*\)" failed="\([0-9]*\)".*/\1 \2 \3 \4/p' \
            "$trx" 2>/dev/null || true
    ) || true
    if [ -z "${total:-}" ]; then
        fail "$name: no result file ($(how_it_ended $rc))"
        return
    fi
    add "$ok" "$bad" $((total - executed))
    if [ "$bad" -gt 0 ]; then
        failures+=("$name: $bad of $total tests")
        while read -r test; do
            failures+=("$name: $test")
        done < <(failed_tests "$log")
    fi
    if [ $((SECONDS - began)) -ge "$seconds" ]; then
        fail "$name: ended after $seconds s, when $executed tests had been run; the first tests to look at are in $results/$name"
    elif [ "$bad" -eq 0 ] && [ "$rc" -ne 0 ]; then
        fail "$name: the test host did not end in order ($(how_it_ended $rc)); the first tests to look at are in $results/$name"
    fi
    if [ "$total" -eq 0 ]; then
        fail "$name: the project has no tests"
    fi
}

# run_counted NAME COMMAND...: a test program that ends with a line `N passed, N failed, N skipped` of its own.
run_counted() {
    local name=$1 log=$results/$1.log rc=0 began=$SECONDS ok bad left test
    shift
    has_time "$name" || return 0
    say "testing $name"
    # Not through a pipe: a process that a test left behind would hold it open, and we would wait for that process.
    within "$project_timeout" "$@" </dev/null >"$log" 2>&1 || rc=$?
    cat "$log"
    read -r ok bad left < <(
        sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p' "$log" | tail -n 1
    ) || true
    if [ -z "${left:-}" ]; then
        fail "$name: no summary ($(how_it_ended $rc))"
        return
    fi
    add "$ok" "$bad" "$left"
    if [ "$bad" -gt 0 ]; then
        failures+=("$name: $bad tests")
        while read -r test; do
            failures+=("$name: $test")
        done < <(grep -E -A 3 '^FAIL(ED)?\b' "$log" | cut -c 1-400 | head -n 20)
    elif [ "$rc" -ne 0 ]; then
        fail "$name: $(how_it_ended $rc)"
    fi
}

# run_show: one pass of what `make run` shows.
run_show() {
    local log=$results/show.log rc=0 began=$SECONDS
    has_time show || return 0
    say 'testing show'
    DEMO_IMAGE_MIB=32 DEMO_MEMORY_MIB=32 CONFIGURATION=$configuration within "$project_timeout" \
        scripts/run.sh --once --no-build </dev/null >"$log" 2>&1 || rc=$?
    cat "$log"
    case $rc in
    0)
        add 1 0 0
        ;;
    71 | 77)
        if [ "${UFFD_TEST_REQUIRE:-}" = all ]; then fail 'show: may not use userfaultfd'; else add 0 0 1; fi
        ;;
    *)
        fail "show: $(how_it_ended $rc)"
        ;;
    esac
}

within "$budget" scripts/deps.sh build run test || {
    fail 'dependencies'
    finish
    exit 1
}
within "$budget" scripts/build.sh "$configuration" || {
    fail 'build'
    finish
    exit 1
}

if [ -z "${UFFD_TEST_REQUIRE:-}" ] && require_all; then
    export UFFD_TEST_REQUIRE=all
fi
export UFFD_REPO_ROOT=$root UFFD_NATIVE_DIR=$native
raise_nofile
mkdir -p "$results"

if selected native; then
    for dir in $(native_dirs); do
        if has_target "$dir" check; then
            run_counted "native-${dir//\//-}" make --no-print-directory -C "$dir" "BUILD=$native" check
        fi
    done
fi

for project in tests/*/*.Tests.csproj; do
    name=$(basename "$(dirname "$project")")
    if ! selected "$name"; then
        continue
    elif needs_root "$name"; then
        skip_project "$project" "$name"
    else
        run_project "$project" "$name"
    fi
done

if selected install; then
    run_counted install scripts/test-install.sh
fi

# Kills, restarts, upgrades and stops of the installed service under a real systemd.
if selected systemd; then
    run_counted systemd tests/systemd/run.sh
fi

if selected show; then
    run_show
fi

finish
