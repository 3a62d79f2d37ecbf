#!/usr/bin/env bash
# usage: check.sh BUILD
# Runs each mode of the load client once, small, against the reference handler: contents must be right, and a handler that serves
# wrong contents must be caught. Last line: N passed, N failed, N skipped.
set -uo pipefail

build=$1
scratch=$(mktemp -d)
trap 'kill "${handlers[@]}" 2>/dev/null; rm -rf "$scratch"' EXIT
passed=0 failed=0 handlers=()

if [ ! -r /dev/userfaultfd ]; then
    echo 'skipped: /dev/userfaultfd cannot be opened'
    echo '0 passed, 0 failed, 9 skipped'
    exit 0
fi

# start NAME ARGUMENT...: a reference handler on $scratch/NAME; it says "ready" when it listens.
start() {
    local name=$1
    shift
    exec {said}< <(exec "$build/uffd-bench-reference" --socket "$scratch/$name" "$@")
    handlers+=($!)
    read -r -t 10 -u "$said" _ || { echo "$name: not ready"; exit 1; }
}

client() { "$build/uffd-bench-client" "$1" --protocol reference --socket "$scratch/$2" "${@:3}" </dev/null; }

expect() {
    local wanted=$1 name=$2 status=0
    shift 2
    "$@" >"$scratch/out" 2>&1 || status=$?
    if [ $status -eq "$wanted" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED $name: exit code $status, not $wanted"
        cat "$scratch/out"
    fi
}

"$build/uffd-bench-client" make-image --image "$scratch/image.raw" --length 4194304 || exit 1
# The handler has its own image mapped, and what is mapped cannot be evicted.
cp "$scratch/image.raw" "$scratch/cold.raw" || exit 1
start image --image "$scratch/image.raw"
start zero --zero

expect 0 'latency' client latency image --faults 1024
expect 0 'throughput of 3 clients with 4 threads' client throughput image --clients 3 --threads 4 --faults 3072
expect 0 'populate' client populate image --length 4194304
expect 0 'scattered pages of an evicted image' client scattered image --image "$scratch/cold.raw" --length 4194304 --faults 300 --seed 7 --evict
expect 0 'idle' client idle image --clients 20 --length 65536
expect 0 'clones' client clones image --clients 3 --length 65536 --faults 8 --writes 2
expect 0 'register' client register image --length 1073741824 --repeat 3
expect 0 'zero pages' client latency zero --faults 64 --zero
expect 1 'wrong contents are noticed' client latency zero --faults 64

echo "$passed passed, $failed failed, 0 skipped"
[ $failed -eq 0 ]
