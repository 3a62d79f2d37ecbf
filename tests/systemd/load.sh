# shellcheck shell=bash
# Sourced by run.sh: programs in the container that know every byte of their memory, each a unit of its own with a log in the scratch directory.
# shellcheck disable=SC2154

client=$inside_artifacts/native/uffd-survival-client
socket=/run/uffd-manager/manager.sock
crowd=
crowd_round=0

log_of() { echo "$place/scratch/$1.log"; }

load_prepare() {
    inside useradd --system --groups uffd uffd-load
    inside useradd --system --groups uffd uffd-few
    inside "$client" make-source /srv/uffd/scratch/source --pages 2048
    inside chmod 644 /srv/uffd/scratch/source
}

# in_unit NAME USER COMMAND...
in_unit() {
    local name=$1 user=$2
    shift 2
    : >"$(log_of "$name")"
    inside systemctl reset-failed "load-$name.service" 2>/dev/null
    inside systemd-run --quiet --unit="load-$name" --uid="$user" --property=SupplementaryGroups=uffd --property=LimitNOFILE=4096 \
        --property="StandardOutput=append:/srv/uffd/scratch/$name.log" --property="StandardError=append:/srv/uffd/scratch/$name.log" "${unit_properties[@]}" "$@"
}
unit_properties=()

# load_start NAME OPTION...: the client of the survival tests.
load_start() {
    local name=$1
    shift
    in_unit "$name" uffd-load "$client" load --socket $socket --source /srv/uffd/scratch/source --seed "$SEED" --patience 60 "$@"
}

# load_start_shimmed NAME [FILE]: a program that knows nothing of the manager, with zeros in its memory or what is in the file.
load_start_shimmed() {
    local name=$1 file=("${@:2}")
    in_unit "$name" uffd-load /usr/local/bin/uffd-run --require "${file[@]/#*/--policy=file}" "${file[@]/#*/--lazy=/srv/uffd/scratch}" -- \
        /usr/bin/python3 "$inside_checkout/tests/systemd/shimmed.py" "${file[@]}"
}

load_unit_state() { inside systemctl show --property="$2" --value "load-$1.service"; }
load_lives() { [ "$(load_unit_state "$1" ActiveState)" = active ]; }
load_runs() { load_lives "$1" && grep -q '^progress' "$(log_of "$1")"; }
load_was_killed() { [ "$(load_unit_state "$1" Result)" = signal ] && [ "$(load_unit_state "$1" ExecMainStatus)" = 9 ]; }
load_operations() { sed -n 's/^progress ops=\([0-9]*\).*/\1/p' "$(log_of "$1")" | tail -n 1; }
load_stall() { sed -n 's/^ok .*stall_ms=\([0-9]*\).*/\1/p' "$(log_of "$1")"; }

# load_advances NAME FROM SECONDS: until it has done more than FROM.
load_advances() {
    local deadline=$((SECONDS + $3))
    until [ "$(load_operations "$1")" -gt "$2" ]; do
        if ! load_lives "$1"; then
            echo "$1 has ended: $(load_unit_state "$1" Result), status $(load_unit_state "$1" ExecMainStatus)"
            return 1
        fi
        if [ $SECONDS -ge $deadline ]; then
            echo "$1 does not go on for $3 s: $(tail -n 1 "$(log_of "$1")")"
            return 1
        fi
        pause
    done
}

loads_go_on() {
    local name before=() rc=0
    for name in zero bare kept shimmed; do
        before+=("$(load_operations "$name")")
    done
    for name in zero bare kept shimmed; do
        load_advances "$name" "${before[0]}" 30 || rc=1
        before=("${before[@]:1}")
    done
    return $rc
}

load_ended() { ! load_lives "$1"; }

# Told to end, a client checks everything once more.
load_end() {
    inside systemctl kill --signal=TERM --kill-who=main "load-$1.service" 2>/dev/null || true
    wait_for 60 load_ended "$1" || return 1
    tail -n 1 "$(log_of "$1")" | grep -q '^ok ' || {
        echo "$1: $(tail -n 1 "$(log_of "$1")")"
        return 1
    }
}

# Which programs are no more, and how they went.
loads_that_ended() {
    local log name
    for log in "$place"/scratch/*.log; do
        name=${log##*/} name=${name%.log}
        [ "$name" = '*' ] || load_lives "$name" ||
            echo "$name has ended: $(load_unit_state "$name" Result), status $(load_unit_state "$name" ExecMainStatus), last words: $(tail -n 1 "$log")"
    done
}

load_kill() { inside systemctl kill --signal=KILL "load-$1.service"; }

load_logs() {
    local log
    for log in "$place"/scratch/*.log; do
        [ ! -s "$log" ] || { echo "--- ${log##*/}" && tail -n 5 "$log"; }
    done
}

# crowd_start COUNT: so many processes with a session each, which stay until the crowd's standard input ends.
crowd_start() {
    mkfifo "$place/scratch/crowd.in"
    exec {crowd}<>"$place/scratch/crowd.in"
    unit_properties=(--property=StandardInput=file:/srv/uffd/scratch/crowd.in)
    in_unit crowd uffd-few "$client" crowd --socket $socket --source /srv/uffd/scratch/source --count "$1" --policy file
    unit_properties=()
    wait_for 30 grep -q '^ready' "$(log_of crowd)"
}

crowd_touches_a_page() {
    crowd_round=$((crowd_round + 1))
    echo >&"$crowd"
    wait_for 30 grep -q "^touched round=$crowd_round " "$(log_of crowd)"
}

one_more_in_the_crowd() {
    inside systemd-run --quiet --wait --pipe --uid=uffd-few --property=SupplementaryGroups=uffd \
        "$client" sessions --socket $socket --count 1 --patience 5 >"$place/one-more.log" 2>&1
}

refuses_one_more_in_the_crowd() { ! one_more_in_the_crowd && grep -qi 'limit\|session' "$place/one-more.log"; }
