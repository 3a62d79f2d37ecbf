# shellcheck shell=bash
# Sourced, with its argument BUILD, by the check.sh of the folders beside it: a scratch folder, handlers that end with the script, and counts.
set -uo pipefail

build=$1
scratch=$(mktemp -d)
handlers=()
trap 'kill "${handlers[@]}" 2>/dev/null; rm -rf "$scratch"' EXIT
passed=0 failed=0 skipped=0

# skip_all COUNT REASON: this machine can run none of them.
skip_all() {
    echo "skipped: $2"
    echo "0 passed, 0 failed, $1 skipped"
    exit 0
}

# serve NAME PROGRAM ARGUMENT...: a handler on $scratch/NAME; it says "ready" when it listens.
serve() {
    local name=$1 program=$2
    shift 2
    exec {said}< <(exec "$build/$program" --socket "$scratch/$name" "$@")
    handlers+=($!)
    read -r -t 10 -u "$said" _ || { echo "$name: not ready"; exit 1; }
}

# expect CODE NAME COMMAND...: 71 says that this machine cannot do it, and why.
expect() {
    local wanted=$1 name=$2 status=0
    shift 2
    "$@" >"$scratch/out" 2>&1 || status=$?
    if [ $status -eq "$wanted" ]; then
        passed=$((passed + 1))
    elif [ $status -eq 71 ]; then
        skipped=$((skipped + 1))
        echo "skipped $name: $(grep SETUP "$scratch/out")"
    else
        failed=$((failed + 1))
        echo "FAILED $name: exit code $status, not $wanted"
        cat "$scratch/out"
    fi
}

# with_huge_pages COUNT COMMAND...: so many huge pages of 2 MiB are free while the command runs. Without them a guest is mapped all the same
# (MAP_NORESERVE) and nobody can fill it; a balloon needs more than the guest has, because a page is free again only some time after it was
# given back. The pool belongs to the machine: test processes take turns by the lock of tests/Support/HugePages.cs.
with_huge_pages() (
    pool=/proc/sys/vm/nr_hugepages wanted=$1 lock=${TMPDIR:-/tmp}/uffd-test-hugepages.lock
    shift
    # One that another user has left can be opened, but not with O_CREAT, not even by root (fs.protected_regular).
    [ -e "$lock" ] || (umask 022; : >>"$lock")
    exec {turn}<"$lock"
    flock -w 120 "$turn" || { echo "another test's huge pages"; exit 1; }
    before=$(cat $pool)
    missing=$((wanted - $(unreserved_huge_pages)))
    if [ "$missing" -gt 0 ]; then
        trap 'echo "$before" >$pool' EXIT
        { echo $((before + missing)) >$pool; } 2>/dev/null
        if [ "$(unreserved_huge_pages)" -lt "$wanted" ]; then
            echo "SETUP the kernel could not make $wanted huge pages free"
            exit 71
        fi
    fi
    "$@" {turn}<&-
)

unreserved_huge_pages() {
    awk '$1 == "HugePages_Free:" { free = $2 } $1 == "HugePages_Rsvd:" { reserved = $2 } END { print free - reserved }' /proc/meminfo
}

# The last line, N passed, N failed, N skipped, and the exit code.
finish() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ $failed -eq 0 ]
}
