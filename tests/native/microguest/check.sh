#!/usr/bin/env bash
# usage: check.sh BUILD
# Runs the guest on KVM against the reference handler, right and wrong. Last line: N passed, N failed, N skipped.
set -uo pipefail

build=$1
scratch=$(mktemp -d)
handlers=()
trap 'kill "${handlers[@]}" 2>/dev/null; rm -rf "$scratch"' EXIT
passed=0 failed=0 skipped=0

if [ "$(uname -m)" != x86_64 ] || [ ! -w /dev/kvm ] || [ ! -r /dev/userfaultfd ]; then
    echo 'skipped: needs x86-64, and /dev/kvm and /dev/userfaultfd that can be opened'
    echo '0 passed, 0 failed, 6 skipped'
    exit 0
fi

# start NAME ARGUMENT...: a reference handler on $scratch/NAME; it says "ready" when it listens.
start() {
    local name=$1
    shift
    exec {said}< <(exec "$build/uffd-firecracker-reference" --socket "$scratch/$name" --image "$scratch/image" "$@")
    handlers+=($!)
    read -r -t 10 -u "$said" _ || { echo "$name: not ready"; exit 1; }
}

guest() { "$build/uffd-microguest" run --socket "$scratch/$1" --image "$scratch/image" --patience 20 "${@:2}" </dev/null; }

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

"$build/uffd-microguest" make-image "$scratch/image" --length 4194304 || exit 1
start right
start all --fault-all
start shifted --defect shifted
start resurrect --defect resurrect

expect 0 'two vCPUs' guest right
expect 0 'three regions, a balloon that maps anew' guest right --regions 3 --version 1.10
expect 0 'huge pages' guest right --huge
expect 0 'everything at the first fault' guest all
expect 1 'a program that is not there is noticed' guest shifted
expect 1 'contents that return are noticed' guest resurrect

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
