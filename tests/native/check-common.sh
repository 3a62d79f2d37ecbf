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

# The last line, N passed, N failed, N skipped, and the exit code.
finish() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ $failed -eq 0 ]
}
