#!/usr/bin/env bash
# usage: scripts/run.sh [--once] [--no-build]
# The show: builds, starts the manager with its default configuration as whoever you are, runs unmodified programs with their memory
# served by it, and shows every second what it serves, until Ctrl-C. --once: one pass, exit code 0 only if faults were served and every
# result was right. Everything that is started is stopped again.
# Exit codes: 0, 1 a wrong result, 64 wrong usage, 69 the manager did not start, 71 no userfaultfd in the kernel, 77 no permission.
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

configuration=${CONFIGURATION:-Release}
image_mib=${DEMO_IMAGE_MIB:-128}
memory_mib=${DEMO_MEMORY_MIB:-96}
once=no
build=yes
for argument in "$@"; do
    case $argument in
    --once) once=yes ;;
    --no-build) build=no ;;
    *)
        echo 'usage: scripts/run.sh [--once] [--no-build]' >&2
        exit 64
        ;;
    esac
done

fail() {
    local code=$1
    shift
    printf 'run: %s\n' "$@" >&2
    exit "$code"
}

# ---- may we? ------------------------------------------------------------------------------------

has_capability() {
    local number=$1 effective
    effective=$(sed -n 's/^CapEff:[[:blank:]]*//p' /proc/self/status)
    ((16#$effective >> number & 1))
}

# The manager needs a userfaultfd that also reports faults of system calls, for itself and to hand to its clients.
check_permission() {
    local sysctl=/proc/sys/vm/unprivileged_userfaultfd cap_sys_ptrace=19
    if [ ! -e /dev/userfaultfd ] && [ ! -e $sysctl ]; then
        fail 71 'this kernel has no userfaultfd (CONFIG_USERFAULTFD); Linux 5.11 or later with it is needed, 6.1 or later is better'
    fi
    if [ -e /dev/userfaultfd ]; then
        if [ ! -r /dev/userfaultfd ] || [ ! -w /dev/userfaultfd ]; then
            fail 77 "you ($(id -un)) may not open /dev/userfaultfd. One of these gives access:" \
                "    sudo setfacl -m u:$(id -un):rw /dev/userfaultfd     (until the next boot; package acl)" \
                "    sudo chgrp $(id -gn) /dev/userfaultfd && sudo chmod 660 /dev/userfaultfd" \
                '    sudo make run                                 (as root nothing is missing)'
        fi
    elif ! has_capability $cap_sys_ptrace && [ "$(cat $sysctl)" != 1 ]; then
        fail 77 'there is no /dev/userfaultfd (Linux before 6.1), and the system call is for privileged users. One of these gives access:' \
            '    sudo sysctl vm.unprivileged_userfaultfd=1' \
            '    sudo make run'
    fi
    if ! has_capability $cap_sys_ptrace; then
        say 'without CAP_SYS_PTRACE the kernel does not report fork: memory is served in the program itself, not in its children'
        say '    (root has it; or: sudo setpriv --reuid you --inh-caps +sys_ptrace --ambient-caps +sys_ptrace ... make run)'
    fi
}

# ---- what is started, and its end ---------------------------------------------------------------

scratch=
daemon=
watcher=
program=

# stop PID SIGNAL: and wait until it is gone; only processes that this script started and has not waited for.
stop() {
    [ -n "$1" ] || return 0
    kill "-$2" "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

finish() {
    local code=$?
    trap - EXIT
    trap '' INT TERM
    stop "$program" TERM
    stop "$watcher" TERM
    if [ -n "$daemon" ]; then
        say 'stopping the manager'
        stop "$daemon" TERM
    fi
    if [ -n "$scratch" ]; then
        if [ $code -ne 0 ] && [ -s "$scratch/manager.log" ]; then
            echo 'run: last lines of the manager:' >&2
            tail -n 20 "$scratch/manager.log" >&2
        fi
        rm -rf "$scratch"
    fi
    exit $code
}

# Ctrl-C is how one ends the show, not an error. The handler only notes it and stops the program, so that whatever waits for the program goes
# on: bash does not survive a `wait` in a handler that interrupted a `wait`.
interrupted=
interrupt() {
    interrupted=$1
    [ -z "$program" ] || kill -TERM "$program" 2>/dev/null || true
}
end_if_interrupted() { [ -z "$interrupted" ] || exit "$interrupted"; }

# await SECONDS COMMAND...: until it succeeds, as long as the manager lives.
await() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        if [ $SECONDS -ge $deadline ] || ! kill -0 "$daemon" 2>/dev/null; then
            return 1
        fi
        end_if_interrupted
        read -r -t 0.1 _ <>"$scratch/never" || true
    done
}

start_manager() {
    local port=9464
    # Somebody else's manager may have the usual port: then any free one.
    if python3 -c "import socket; socket.create_connection(('127.0.0.1', $port), 1)" 2>/dev/null; then
        port=0
    fi
    # A session of its own, so that Ctrl-C reaches this script alone and the manager ends last.
    UFFD_MANAGER__listen__socket=$socket UFFD_MANAGER__metrics__port=$port \
        setsid "$artifacts/bin/UffdManager.Daemon/${configuration,,}/uffd-manager" run --config manager/Daemon/config.json \
        </dev/null >"$scratch/manager.log" 2>&1 &
    daemon=$!
    await 30 grep -qs 'Ready' "$scratch/manager.log" || fail 69 'the manager did not start'
    metrics=$(grep -m 1 'Ready' "$scratch/manager.log" | grep -oE 'https?://[^ ,"]+' | head -n 1)
    metrics=${metrics%/}
}

# managed OUTPUT ARGUMENT...: under the manager, or not at all; waits for it, but lets signals through.
managed() {
    local output=$1 code=0
    shift
    "$native/uffd-run" --require "--socket=$socket" "$@" </dev/null >"$output" 2>"$output.err" &
    program=$!
    # A signal before this line knew of no program.
    [ -z "$interrupted" ] || interrupt "$interrupted"
    wait "$program" || code=$?
    # A signal ends the wait, not the program.
    [ -z "$interrupted" ] || stop "$program" TERM
    program=
    end_if_interrupted
    [ $code -eq 0 ] || {
        cat "$output.err" >&2
        fail 1 "the program ended with $code under the manager"
    }
}

same() {
    local what=$1 expected=$2 found=$3
    if ! diff "$expected" "$found" >&2; then
        fail 1 "$what: not what the program prints without the manager"
    fi
}

served() { python3 scripts/demo/watch.py "$metrics/metrics" --total; }

# One pass of both programs. Sets image_faults and memory_faults.
pass() {
    local before after
    before=$(served)
    managed "$scratch/image.out" --policy=file "--lazy=$scratch/images" -- \
        python3 scripts/demo/read_image.py "$scratch/images/image.raw"
    same 'hash of the lazily loaded image' "$scratch/image.expected" "$scratch/image.out"
    after=$(served)
    image_faults=$((${after% *} - ${before% *}))
    image_bytes=$((${after#* } - ${before#* }))
    before=$after
    managed "$scratch/memory.out" --policy=zero -- python3 scripts/demo/use_memory.py "$memory_mib"
    same 'the anonymous workload' "$scratch/memory.expected" "$scratch/memory.out"
    after=$(served)
    memory_faults=$((${after% *} - ${before% *}))
}

# ---- the show -----------------------------------------------------------------------------------

scripts/deps.sh run
check_permission
if [ $build = yes ]; then
    # Not the tests: the show needs the daemon and the shim alone.
    say 'building the shim and the daemon'
    native_make client-shim all >/dev/null
    compile dotnet build manager/Daemon -c "$configuration" -v quiet -nologo
fi

scratch=$(mktemp -d "${TMPDIR:-/tmp}/uffd-manager-run.XXXXXX")
socket=$scratch/manager.sock
mkfifo "$scratch/never"
trap finish EXIT
trap 'interrupt 0' INT
trap 'interrupt 143' TERM

say "making an image of $image_mib MiB, and what the programs print without the manager"
mkdir "$scratch/images"
head -c "${image_mib}M" /dev/urandom >"$scratch/images/image.raw"
python3 scripts/demo/read_image.py "$scratch/images/image.raw" >"$scratch/image.expected"
python3 scripts/demo/use_memory.py "$memory_mib" >"$scratch/memory.expected"

start_manager
say "the manager serves as $(id -un): socket $socket"
say "metrics: $metrics/metrics    health: $metrics/healthz"
say "python3 maps the image lazily (page by page from the manager) and hashes it; then fills $memory_mib MiB of fresh memory,"
say 'works in an sqlite database in memory, and forks. Neither knows of the manager.'

if [ $once = no ]; then
    python3 scripts/demo/watch.py "$metrics/metrics" &
    watcher=$!
fi

passes=0
while :; do
    end_if_interrupted
    pass
    passes=$((passes + 1))
    say "pass $passes: image $image_faults faults for $((image_bytes >> 20)) MiB, anonymous memory $memory_faults faults;" \
        'all results as without the manager'
    # An image that was not loaded through the manager would hash right too.
    if [ $image_faults -eq 0 ] || [ $image_bytes -lt $((image_mib << 20)) ] || [ $memory_faults -eq 0 ]; then
        fail 1 'the programs ran, but not on memory of the manager'
    fi
    [ $once = no ] || break
done
