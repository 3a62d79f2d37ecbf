#!/usr/bin/env bash
# usage: check.sh BUILD
# Runs the programs of this folder without and with the shim, under a stand-in for the manager that can be
# stopped, killed and made to say unusual things. Every comparison also wants proof that the manager was there.
set -u

build=$1
run=$build/uffd-run
programs=$build/tests/shim
folder=$(mktemp -d)
socket=$folder/manager.sock
passed=0 failed=0 skipped=0
manager=
features=0x1ff # of the stand-in
mishap=        # of the stand-in that a program is compared under

stop_manager() {
    [ -n "$manager" ] && kill -"${1:-TERM}" "$manager" 2>/dev/null && wait "$manager" 2>/dev/null
    manager=
}
# Not in subshells: they would take the folder away under the others.
trap '[ $BASHPID = $$ ] && { stop_manager KILL; shmem_as_before; rm -rf "$folder"; }' EXIT

# shmem_is SETTING COMMAND...: shared memory gets huge pages while the command runs, or not. The setting belongs to the machine: tests take
# turns by the lock of tests/Support/SharedHugePages.cs.
huge=/sys/kernel/mm/transparent_hugepage/shmem_enabled
shmem_before=
shmem_as_before() {
    [ -z "$shmem_before" ] || echo "$shmem_before" >$huge
    shmem_before=
}
shmem_is() {
    local setting=$1 lock=${TMPDIR:-/tmp}/uffd-test-shmem-enabled.lock
    shift
    # One that another user has left can be opened, but not with O_CREAT, not even by root (fs.protected_regular).
    [ -e "$lock" ] || (umask 022; : >>"$lock")
    exec {turn}<"$lock"
    flock -w 120 "$turn" || { echo "another test has set $huge"; exit 1; }
    shmem_before=$(sed 's/.*\[\(.*\)\].*/\1/' $huge)
    echo "$setting" >$huge
    "$@"
    shmem_as_before
    exec {turn}<&-
}

# A descriptor that never has anything to read, so that waiting for it takes time and no process.
mkfifo "$folder/tick"
exec {tick}<>"$folder/tick"
pause() { read -r -t "$1" -u $tick || :; }

# await SECONDS COMMAND...: until the command succeeds
await() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        pause 0.02
    done
}

# start_manager [MISHAP]
start_manager() {
    rm -f "$socket" "$folder/manager.log"
    "$programs/stand_in_manager" "$socket" "$features" "$@" >"$folder/manager.log" 2>"$folder/manager.err" &
    manager=$!
    await 10 grep -q ready "$folder/manager.log"
}

# count NAME: what the manager has counted when it was stopped or asked last
count() { sed -n "s/.*\b$1=\([0-9]*\).*/\1/p" "$folder/manager.log" | tail -1; }

# counts NAME MINIMUM: asks the running manager
counts() {
    kill -HUP "$manager"
    pause 0.05
    [ "$(count "$1")" -ge "$2" ]
}

verdict() { # NAME RESULT
    if [ "$2" = 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $1"
        sed 's/^/    /' "$folder"/*.diff "$folder"/manager.err "$folder"/stderr 2>/dev/null | head -40
    fi
}

managed() { timeout 120 "$run" --socket="$socket" --require "$@"; }

# alike NAME COUNTER MINIMUM [OPTION]... -- PROGRAM...: same output and status, and the counter shows the manager's part
alike() {
    local name=$1 counter=$2 minimum=$3 result=0 status_native status_managed
    shift 3
    local options=()
    while [ "$1" != -- ]; do options+=("$1"); shift; done
    shift
    "$@" >"$folder/native" 2>"$folder/native.err" </dev/null
    status_native=$?
    start_manager ${mishap:+"$mishap"}
    managed "${options[@]}" -- "$@" >"$folder/managed" 2>"$folder/managed.err" </dev/null
    status_managed=$?
    stop_manager
    : >"$folder/out.diff"
    [ $status_native = $status_managed ] || result=1
    diff "$folder/native" "$folder/managed" >"$folder/out.diff" || result=1
    diff "$folder/native.err" "$folder/managed.err" >>"$folder/out.diff" || result=1
    [ "$(count "$counter")" -ge "$minimum" ] || result=1
    echo "status $status_native, $status_managed; $(tail -1 "$folder/manager.log")" >>"$folder/out.diff"
    verdict "$name" $result
}

no_agent_is_left() {
    ! pgrep -f "$programs/(probe|torture)" >/dev/null # an agent has its program's command line
}

# The stand-in has no privileges of its own to give out the device.
if ! { : <>/dev/userfaultfd; } 2>/dev/null; then
    echo "skipped: /dev/userfaultfd cannot be opened by $(id -un)"
    if [ "${UFFD_TEST_REQUIRE:-}" = all ]; then
        echo "0 passed, 1 failed, 0 skipped"
        exit 1
    fi
    echo "0 passed, 0 failed, 61 skipped"
    exit 0
fi

probe=$programs/probe
head -c 6000001 /dev/urandom >"$folder/file"

alike "descriptors keep their numbers" faults 2000 -- "$probe" descriptors
alike "wait sees the program's own children only" faults 2000 -- "$probe" children
alike "errno is left alone" faults 2000 -- "$probe" errno
alike "read into missing pages survives a storm of signals" faults 1000 -- "$probe" signals
alike "the heap grows and shrinks as ever" faults 2000 -- "$probe" heap
alike "threads, signal masks and session look the same" faults 2000 -- "$probe" identity
alike "a user namespace can be unshared" faults 2000 -- "$probe" unshare
alike "children and grandchildren have memory of their own" bound 24 -- "$probe" forks
alike "a child that no fork handler has seen is served" forks 1 -- "$probe" raw-fork
alike "a program that may not gain code is managed as far as possible" faults 2000 -- "$probe" no-new-code
alike "the agent gives up what the program gives up" faults 2000 -- "$probe" drop-rights
alike "vfork and posix_spawn need nothing" faults 2000 -- "$probe" spawn
alike "exec begins a session of its own" sessions 6 -- "$probe" exec
alike "a thread may exec when the main thread is gone" sessions 3 -- "$probe" thread-exec
alike "the main thread may end before the program" faults 60000 -- "$probe" main-thread-ends
alike "a lazily mapped file behaves like the file" lazy 4000 --lazy="$folder" -- "$probe" lazy "$folder/file"
if { : <"$(find "/proc/$$/map_files" -type l | head -1)"; } 2>/dev/null; then
    mishap=peek-refuse-source
    alike "a refused file leaves nothing behind for the next mapping" lazy 1400 --lazy="$folder" -- "$probe" lazy "$folder/file"
    mishap=peek-source
    alike "pages of zeros that came before the manager are no part of the file" lazy 4000 --lazy="$folder" -- "$probe" lazy "$folder/file"
    if [ -w $huge ]; then
        shmem_is always alike "pages of zeros that came before the manager came alone, whatever pages memory has" lazy 4000 --lazy="$folder" -- \
            "$probe" lazy "$folder/file"
    else
        skipped=$((skipped + 1))
    fi
    mishap=fill-stub
    alike "pages of zeros around a part of a file are no part of the rest" lazy 4000 --min=4K --lazy="$folder" -- "$probe" lazy "$folder/file"
    mishap=
else
    skipped=$((skipped + 4))
fi
alike "a file outside the directory is mapped as ever" faults 0 --lazy="$folder/file2" -- "$probe" lazy "$folder/file"
alike "small mappings can be managed too" faults 2000 --min=4K -- "$probe" heap
for seed in 1 2 3; do
    alike "torture with seed $seed" faults 50000 -- "$programs/torture" $seed 60
done

features=0x1fd # all but EVENT_FORK
alike "children are the kernel's when forks cannot be followed" faults 2000 -- "$probe" forks
alike "no file is lazy when forks cannot be followed" registers 2 --lazy="$folder" -- "$probe" lazy "$folder/file"
features=0x1ff

# ---- the manager goes away ----

# halves NAME PROBE ACTION COUNTER MINIMUM: the program runs its first half, the action happens, the rest must not differ
halves() {
    local name=$1 what=$2 action=$3 counter=$4 minimum=$5 result=0
    echo go | "$probe" "$what" "$folder/file8" >"$folder/native"
    start_manager
    mkfifo "$folder/go"
    managed --lazy="$folder" -- "$probe" "$what" "$folder/file8" <"$folder/go" >"$folder/managed" 2>"$folder/stderr" &
    local program=$!
    exec 9>"$folder/go"
    await 20 grep -q first "$folder/managed"
    $action
    echo go >&9
    exec 9>&-
    wait $program || result=1
    rm -f "$folder/go"
    stop_manager
    diff "$folder/native" "$folder/managed" >"$folder/out.diff" || result=1
    [ "$(count "$counter")" -ge "$minimum" ] || result=1
    tail -1 "$folder/manager.log" >>"$folder/out.diff"
    verdict "$name" $result
}
head -c $((8 * 1024 * 1024)) /dev/urandom >"$folder/file8"

restart() { stop_manager KILL; start_manager; }
late_restart() {
    stop_manager KILL
    pause 1
    start_manager
}
kill_agent() {
    local agent
    for agent in $(pgrep -f "$probe (halves|fork-later)"); do
        [ "$(cat "/proc/$agent/comm")" = uffd-agent ] && kill -KILL "$agent"
    done
    await 5 no_agent_of_probe
}
no_agent_of_probe() {
    local agent
    for agent in $(pgrep -f "$probe (halves|fork-later)"); do
        [ "$(cat "/proc/$agent/comm" 2>/dev/null)" = uffd-agent ] &&
            [ "$(cut -d' ' -f3 "/proc/$agent/stat")" != Z ] && return 1
    done
    return 0
}
command_agent() { kill -USR1 "$manager"; }

halves "a program outlives its manager" halves restart adopted 1
halves "a program waits for a manager that comes late" halves late_restart adopted 1
halves "a program outlives its agent" halves kill_agent faults 1000
halves "a child gets an agent although its parent has none" fork-later kill_agent bound 1
halves "a fork waits for the manager" fork-later late_restart bound 1
interrupted_adoption() {
    stop_manager KILL
    start_manager drop-wake
}
halves "an adoption that was interrupted is completed" halves interrupted_adoption resumed 1
refused_range() {
    stop_manager KILL
    start_manager refuse-source
}
halves "a range that was refused is told again" halves refused_range resumed 1
halves "the agent refuses commands that it does not know" halves command_agent refused_commands 1

# The manager dies over a request: the next one has to hear of it. The mailbox and one mapping make two.
"$probe" descriptors >"$folder/native" 2>/dev/null
start_manager die-at-register=2
managed -- "$probe" descriptors >"$folder/managed" 2>"$folder/stderr" </dev/null &
program=$!
wait "$manager"
manager=
start_manager
result=0
wait $program || result=1
stop_manager
diff "$folder/native" "$folder/managed" >"$folder/out.diff" || result=1
[ "$(count adopted)" = 1 ] && [ "$(count registers)" -ge 2 ] && [ "$(count faults)" -ge 2000 ] || result=1
tail -1 "$folder/manager.log" >>"$folder/out.diff"
verdict "a request whose answer was lost is made again" $result

# No manager comes any more. The program has registered no memory of its own by then.
"$probe" heap >"$folder/native" 2>/dev/null
start_manager die-before-register=2
timeout -s KILL 20 "$run" --socket="$socket" --require -- "$probe" heap >"$folder/managed" 2>"$folder/stderr" </dev/null
result=$?
wait "$manager" # it has died
manager=
diff "$folder/native" "$folder/managed" >"$folder/out.diff" || result=1
verdict "a request whose manager is gone for good is given up" $result

start_manager drop-hello
expected=$("$probe" heap)
[ "$(managed -- "$probe" heap)" = "$expected" ]
result=$?
stop_manager
[ "$(count sessions)" = 1 ] || result=1
verdict "a program starts although the manager dies over its greeting" $result

# ---- the manager stays away ----

# User and system time of a process, in ticks of 10 ms.
cpu_ticks() {
    local stat
    read -ra stat < <(cut -d')' -f2 "/proc/$1/stat")
    echo $((stat[11] + stat[12]))
}
agent_of() {
    local agent
    for agent in $(pgrep -f "$probe outage"); do
        [ "$(cat "/proc/$agent/comm")" = uffd-agent ] && echo "$agent" && return
    done
}

printf 'go\ngo\n' | "$probe" outage >"$folder/native"
start_manager
mkfifo "$folder/go"
managed -- "$probe" outage <"$folder/go" >"$folder/managed" 2>"$folder/stderr" &
program=$!
exec 9>"$folder/go"
await 20 grep -q first "$folder/managed"
stop_manager KILL
result=0
printf g >&9
await 15 grep -q "goes on" "$folder/managed" || result=1
agent=$(agent_of)
before=$(cpu_ticks "$agent")
pause 4
[ $(($(cpu_ticks "$agent") - before)) -le 5 ] || result=1
start_manager
await 5 counts adopted 1 || result=1
printf o >&9
exec 9>&-
wait $program || result=1
rm -f "$folder/go"
stop_manager
diff "$folder/native" "$folder/managed" >"$folder/out.diff" || result=1
[ "$(count faults)" -ge 2000 ] || result=1
tail -1 "$folder/manager.log" >>"$folder/out.diff"
verdict "while there is no manager the program goes on and its agent sleeps" $result

# A hundred agents lose their manager at once, and all of them find the next one.
crowd=100
start_manager
mkfifo "$folder/go"
exec 9<>"$folder/go"
programs_of_crowd=()
for ((i = 0; i < crowd; i++)); do
    managed -- "$probe" crowd <"$folder/go" >"$folder/crowd.$i" 2>"$folder/stderr" &
    programs_of_crowd+=($!)
done
result=0
await 60 counts sessions $crowd || result=1
stop_manager KILL
start_manager
await 30 counts adopted $crowd || result=1
for ((i = 0; i < crowd; i++)); do printf g >&9; done
for program in "${programs_of_crowd[@]}"; do
    wait "$program" || result=1
done
exec 9>&-
rm -f "$folder/go"
stop_manager
tail -1 "$folder/manager.log" >"$folder/out.diff"
for ((i = 0; i < crowd; i++)); do
    grep -q later "$folder/crowd.$i" || result=1
done
verdict "a hundred agents find the next manager" $result

# ---- uffd-run ----

expect() { # NAME STATUS OUTPUT COMMAND...
    local name=$1 status=$2 output=$3 result=0
    shift 3
    "$@" >"$folder/managed" 2>"$folder/stderr" </dev/null
    local got=$?
    [ $got = "$status" ] || result=1
    [ -z "$output" ] || grep -q -- "$output" "$folder/managed" "$folder/stderr" || result=1
    echo "status $got" >"$folder/out.diff"
    verdict "$name" $result
}

expect "without a manager --require exits with 125 and the reason" 125 "no manager at" \
    "$run" --socket="$socket" --require -- echo hello
expect "without a manager --optional runs the program" 0 "^hello$" "$run" --socket="$socket" -- echo hello
start_manager
expect "--help exits with 0" 0 "Usage" "$run" --help
expect "--version exits with 0" 0 "uffd-run [0-9]" "$run" --version
expect "an unknown option is wrong usage" 64 "--help" "$run" --nonsense -- true
expect "no program is wrong usage" 64 "no program" "$run" --
expect "a bad size is wrong usage" 64 "--min" "$run" --min=lots -- true
expect "a missing program is 127" 127 "No such file" "$run" --socket="$socket" -- /no/such/program
touch "$folder/plain"
expect "a file that cannot be run is 126" 126 "Permission denied" "$run" --socket="$socket" -- "$folder/plain"
expect "the program's status is passed on" 7 "" "$run" --socket="$socket" -- sh -c 'exit 7'
expect "a static program runs unmanaged" 3 "^static$" "$run" --socket="$socket" -- "$programs/static_program"
expect "a static program is refused under --require" 125 "statically linked" \
    "$run" --socket="$socket" --require -- "$programs/static_program"
expect "a static program is refused by --static=refuse" 125 "statically linked" \
    "$run" --socket="$socket" --static=refuse -- "$programs/static_program"
expect "--static=unmanaged wins over --require" 3 "^static$" \
    "$run" --socket="$socket" --require --static=unmanaged -- "$programs/static_program"
printf '#!%s\n' "$programs/static_program" >"$folder/script"
chmod +x "$folder/script"
expect "a script is judged by its interpreter" 125 "statically linked" \
    "$run" --socket="$socket" --static=refuse -- "$folder/script"
cp "$probe" "$folder/other_user"
if [ "$(id -u)" = 0 ] && chown 65534 "$folder/other_user" && chmod 4755 "$folder/other_user"; then
    expect "a set-user-id program is refused under --require" 125 "set-user-id" \
        "$run" --socket="$socket" --require -- "$folder/other_user" errno
    expect "a set-user-id program runs unmanaged" 0 "at start: 0" \
        "$run" --socket="$socket" -- "$folder/other_user" errno
else
    skipped=$((skipped + 2))
fi
expect "LD_PRELOAD of the caller stays" 0 "libuffd-shim.so:/lib/x86_64-linux-gnu/libm.so.6" \
    env LD_PRELOAD=/lib/x86_64-linux-gnu/libm.so.6 "$run" --socket="$socket" -- env
expect "--verbose says so" 0 "uffd-shim: managed" "$run" --socket="$socket" --verbose -- true
expect "the output ends with the program" 0 "^before$" timeout 10 bash -c "x=\$('$run' --socket='$socket' -- echo before); echo \$x"
stop_manager

# The agents end with their programs.
await 5 no_agent_is_left
verdict "no agent is left" $?

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
