#!/usr/bin/env bash
# usage: check.sh BUILD
# Runs the emulator in each version and with each kind of memory against the reference handler: every byte must be right. Then against
# handlers with a known mistake, which it must notice. Last line: N passed, N failed, N skipped.
# shellcheck source=tests/native/check-common.sh
. "$(dirname "$0")/../check-common.sh" "$1"

versions=(1.1 1.2 1.3 1.4 1.5 1.6 1.7 1.8 1.9 1.10 1.11 1.12 1.13 1.14 2.0)

if [ ! -r /dev/userfaultfd ]; then
    skip_all 39 '/dev/userfaultfd cannot be opened'
fi

# emulate SOCKET MODE ARGUMENT...
emulate() {
    local socket=$1 mode=$2
    shift 2
    "$build/uffd-firecracker" "$mode" --socket "$scratch/$socket" --image "$scratch/image" \
        --patience 20 "$@" </dev/null
}

# A path of more than 108 bytes, reached through a descriptor of its directory.
far() {
    local deep
    deep=$scratch/$(printf 'd%.0s' {1..120})
    mkdir -p "$deep"
    ln -sf "$scratch/image-handler" "$deep/socket"
    "$build/uffd-firecracker" run --socket "$deep/socket" --image "$scratch/image" --touch 64
}

"$build/uffd-firecracker" make-image "$scratch/image" --length 8388608 --holes 5 --tail 8388608 || exit 1
serve image-handler uffd-firecracker-reference --image "$scratch/image"
serve all uffd-firecracker-reference --image "$scratch/image" --fault-all
serve shifted uffd-firecracker-reference --image "$scratch/image" --defect shifted
serve resurrect uffd-firecracker-reference --image "$scratch/image" --defect resurrect
serve deaf uffd-firecracker-reference --image "$scratch/image" --defect deaf

for version in "${versions[@]}"; do
    expect 0 "version $version" emulate image-handler run --version "$version"
done
for version in 1.4 1.10 1.11 1.14; do
    expect 0 "version $version with a balloon" emulate image-handler load --version "$version" --balloon --seconds 1
done
expect 0 'everything at the first fault' emulate all run --quick
expect 0 'one region' emulate image-handler run --regions 1
expect 0 'seven regions' emulate image-handler run --regions 7
expect 0 'byte by byte' emulate image-handler run --send-pace 100
expect 0 'a path that is too long' far
expect 0 'free page reporting' emulate image-handler load --reporting --seconds 1
expect 0 'hot-plug memory' emulate image-handler load --virtio-mem 8388608 --balloon --seconds 1
expect 0 'huge pages' with_huge_pages 8 emulate image-handler load --length 4194304 --huge --balloon --seconds 1
expect 0 'transparent huge pages' emulate image-handler run --transparent
expect 0 'the fork with WP_ASYNC' emulate image-handler load --fork --balloon --seconds 1
expect 0 'the fork with synchronous write-protection' emulate image-handler load --sync-wp --balloon --seconds 1
expect 0 'the fork with a memfd' emulate image-handler load --memfd --balloon --seconds 1
expect 0 'the fork with huge pages, write-protected' \
    with_huge_pages 8 emulate image-handler load --sync-wp --length 4194304 --huge --seconds 1
expect 0 'twenty clones' emulate image-handler clones --clones 20 --touch 256
expect 1 'wrong contents are noticed' emulate shifted run
expect 1 'contents that return are noticed' emulate resurrect load --balloon --seconds 20
expect 1 'a thread that hangs is noticed' emulate deaf run --patience 1
expect 2 'a wrong hand-over that is served is noticed' emulate image-handler hostile two-uffds
expect 3 'a guest that freezes is noticed' emulate image-handler hostile not-registered --patience 1
expect 1 'a socket where nobody listens' emulate nobody run

finish
