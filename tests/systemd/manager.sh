# shellcheck shell=bash
# Sourced by run.sh: looks at the manager's unit in the container, and does things to it.
# shellcheck disable=SC2154

unit=uffd-manager.service

property() { inside systemctl show --property="$1" --value "$unit"; }
state() { property ActiveState; }
main_pid() { property MainPID; }
restarts() { property NRestarts; }
stored() { property NFileDescriptorStore; }
is_active() { [ "$(state)" = active ]; }
is_starting() { [ "$(state)" = activating ]; }
has_nothing_stored() { [ "$(stored)" -eq 0 ]; }
# journal_says PATTERN [OPTION...]
journal_says() { inside journalctl --no-pager --unit="$unit" --grep="$1" --quiet "${@:2}" >/dev/null; }
journal_end() { inside journalctl --lines=0 --show-cursor | sed -n 's/^-- cursor: //p'; }

# wait_for SECONDS COMMAND...: until the command succeeds.
wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        if [ $SECONDS -ge $deadline ]; then
            echo "in vain: $*"
            return 1
        fi
        pause
    done
}

# The moment between two kills is what the test is about, not something that is waited for.
pause_ms() { read -r -t "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))" -u "$tick" || true; }

restart() { inside systemctl restart "$unit"; }
restarted() { [ "$(restarts)" -ge "$1" ]; }

# Between two lives there is nobody to kill.
kill_manager() {
    local pid
    pid=$(main_pid)
    [ "$pid" -gt 0 ] && inside kill -KILL "$pid" 2>/dev/null
}

# drop_in [SETTING...]: these and no others beside what is installed.
drop_in() {
    local dir=/run/systemd/system/$unit.d
    inside rm -rf "$dir"
    if [ $# -gt 0 ]; then
        printf '%s\n' '[Service]' "$@" >"$place/scratch/drop-in"
        inside install -D -m 644 /srv/uffd/scratch/drop-in "$dir/test.conf"
    fi
    inside systemctl daemon-reload
}

metrics() {
    inside python3 -c 'import urllib.request; print(urllib.request.urlopen("http://127.0.0.1:9464/metrics", timeout=10).read().decode())'
}

version() { metrics | sed -n 's/^uffd_manager_build_info{.*version="\([^"+]*\).*/\1/p'; }
sessions_of() { metrics | sed -n "s/^uffd_manager_sessions{.*tenant=\"$1\".*} \([0-9]*\)$/\1/p" | awk '{ sum += $1 } END { print sum + 0 }'; }
sessions() { metrics | awk '/^uffd_manager_sessions\{/ { sum += $NF } END { print sum + 0 }'; }

# Up to three descriptors a session, and what images and sources need; no more, however often the manager has died.
store_fits_the_sessions() {
    local kept live
    kept=$(stored)
    live=$(sessions)
    [ "$kept" -ge $((live * 2)) ] && [ "$kept" -le $((live * 3 + 40)) ]
}

# The longest time from a death or a stop to the next moment at which the manager was ready, however often it died between; in ms. Where the
# watchdog ($1 seconds) came first, the loop had stood still before. Two absences with less than a second between them are one: not everybody
# has got on in between.
longest_absence_ms() {
    inside journalctl --no-pager --unit="$unit" --output=short-monotonic | awk -v watchdog="$1" '
        { time = substr($0, 2) + 0 }
        function leaves(at) { if (!gone) gone = back && at - back < 1 ? before : at }
        /systemd\[1\]: .*Watchdog timeout/ { leaves(time - watchdog) }
        /systemd\[1\]: (.*Main process exited|Stopping )/ { leaves(time) }
        /systemd\[1\]: Started / { if (gone && time - gone > longest) longest = time - gone; if (gone) { before = gone; back = time }; gone = 0 }
        END { printf "%d\n", longest * 1000 }'
}

# configure NAME=VALUE: writes the configuration; uid uffd-few is a tenant that may have so many sessions.
configure() {
    local "$1"
    inside mkdir -p /etc/uffd-manager/config.d
    # shellcheck disable=SC2154
    cat >"$place/scratch/config" <<JSON
{
  "policies": {
    "zero": { "source": { "kind": "zero" } },
    "file": { "source": { "kind": "client" }, "faultAroundBytes": "64KiB", "removeMeans": "source" }
  },
  "tenants": {
    "few": { "match": { "uids": [$(inside id -u uffd-few)] }, "defaultPolicy": "zero", "policies": ["*"], "limits": { "sessions": $limits_of_few } },
    "default": { "default": true, "defaultPolicy": "zero", "policies": ["*"], "images": ["*"] }
  }
}
JSON
    inside cp /srv/uffd/scratch/config /etc/uffd-manager/config.json
}
