#!/usr/bin/env bash
# usage: check.sh BUILD
# Runs each mode of the load client once, small, against the reference handler: contents must be right, and a handler that serves
# wrong contents must be caught. Last line: N passed, N failed, N skipped.
# shellcheck source=tests/native/check-common.sh
. "$(dirname "$0")/../check-common.sh" "$1"

if [ ! -r /dev/userfaultfd ]; then
    skip_all 9 '/dev/userfaultfd cannot be opened'
fi

client() { "$build/uffd-bench-client" "$1" --protocol reference --socket "$scratch/$2" "${@:3}" </dev/null; }

"$build/uffd-bench-client" make-image --image "$scratch/image.raw" --length 4194304 || exit 1
# The handler has its own image mapped, and what is mapped cannot be evicted.
cp "$scratch/image.raw" "$scratch/cold.raw" || exit 1
serve image uffd-bench-reference --image "$scratch/image.raw"
serve zero uffd-bench-reference --zero

expect 0 'latency' client latency image --faults 1024
expect 0 'throughput of 3 clients with 4 threads' client throughput image --clients 3 --threads 4 --faults 3072
expect 0 'populate' client populate image --length 4194304
expect 0 'scattered pages of an evicted image' client scattered image --image "$scratch/cold.raw" --length 4194304 --faults 300 --seed 7 --evict
expect 0 'idle' client idle image --clients 20 --length 65536
expect 0 'clones' client clones image --clients 3 --length 65536 --faults 8 --writes 2
expect 0 'register' client register image --length 1073741824 --repeat 3
expect 0 'zero pages' client latency zero --faults 64 --zero
expect 1 'wrong contents are noticed' client latency zero --faults 64

finish
