#!/usr/bin/env bash
# usage: check.sh BUILD
# Runs the guest on KVM against the reference handler, right and wrong. Last line: N passed, N failed, N skipped.
# shellcheck source=tests/native/check-common.sh
. "$(dirname "$0")/../check-common.sh" "$1"

if [ "$(uname -m)" != x86_64 ] || [ ! -w /dev/kvm ] || [ ! -r /dev/userfaultfd ]; then
    skip_all 8 'needs x86-64, and /dev/kvm and /dev/userfaultfd that can be opened'
fi

guest() { "$build/uffd-microguest" run --socket "$scratch/$1" --image "$scratch/image" --patience 20 "${@:2}" </dev/null; }

scripted() {
    printf '%s\n' 'write 30 3 100' count stop 'write 700 1 7' |
        "$build/uffd-microguest" script --socket "$scratch/$1" --image "$scratch/image" --patience 20 --regions 2
}

"$build/uffd-microguest" make-image "$scratch/image" --length 4194304 || exit 1
serve right uffd-firecracker-reference --image "$scratch/image"
serve all uffd-firecracker-reference --image "$scratch/image" --fault-all
serve shifted uffd-firecracker-reference --image "$scratch/image" --defect shifted
serve resurrect uffd-firecracker-reference --image "$scratch/image" --defect resurrect

expect 0 'two vCPUs' guest right
expect 0 'three regions, a balloon that maps anew' guest right --regions 3 --version 1.10
expect 0 'huge pages' with_huge_pages 8 guest right --huge
expect 0 'everything at the first fault' guest all
expect 0 'a script' scripted right
expect 1 'a program that is not there is noticed' guest shifted
expect 1 'contents that return are noticed' guest resurrect
expect 1 'a script notices wrong contents' scripted shifted

finish
