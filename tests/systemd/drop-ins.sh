# shellcheck shell=bash
# Sourced by run.sh: the drop-ins of the source tree that are not installed, as they are, loaded by the real systemd; and a VM of a jail's user.
# shellcheck disable=SC2154

emulator=$inside_artifacts/native/uffd-firecracker
jail=/srv/jailer/vm/run
live=/srv/live
jail_user=uffd-jail

# shipped NAME...: these drop-ins and no others.
shipped() {
    local dir=/etc/systemd/system/$unit.d name
    inside rm -rf "$dir"
    for name; do
        inside install -D -m 644 "$inside_checkout/systemd/$name" "$dir/$name" || return 1
    done
    inside systemctl daemon-reload && restart
}

# The directories are there before the service starts: what it may write to is mounted for it then.
drop_ins_prepare() {
    inside useradd --system --user-group --groups uffd $jail_user && head -c 8M /dev/urandom >"$place/scratch/mem.bin" && chmod 644 "$place/scratch/mem.bin" &&
        inside install -d -o $jail_user -g $jail_user ${jail%/*} $jail && inside install -d -o uffd-manager $live &&
        inside uffdctl image add jailed --file /srv/uffd/scratch/mem.bin
}

serve_in_the_jail() {
    inside uffdctl snapshot serve --name jailed --image jailed --tenant default --socket $jail/fc.sock --owner $jail_user:$jail_user --mode 0600 >"$place/serve.log" 2>&1
}

unit_alone_refuses_a_jail() {
    if serve_in_the_jail; then
        echo 'it was served'
        return 1
    fi
    grep -q 'jailer.conf' "$place/serve.log" || {
        cat "$place/serve.log"
        return 1
    }
}

jailer_drop_in_serves_a_vm() {
    shipped jailer.conf && loads_go_on || return 1
    serve_in_the_jail || {
        cat "$place/serve.log"
        return 1
    }
    [ "$(inside stat -c '%U %G %a %F' $jail/fc.sock)" = "$jail_user $jail_user 600 socket" ] &&
        in_unit jailed $jail_user "$emulator" load --socket $jail/fc.sock --image /srv/uffd/scratch/mem.bin --patience 60 --seconds 0 --pace 500 &&
        wait_for 30 load_runs jailed
}

session_of_the_vm() { inside uffdctl --json snapshot show jailed | python3 -c 'import json, sys; print(json.load(sys.stdin)["sessions"][0])'; }

live_snapshot() { inside uffdctl session snapshot "$(session_of_the_vm)" --out $live/jailed >"$place/live.log" 2>&1; }

live_snapshot_needs_its_drop_in() {
    if live_snapshot; then
        echo 'it was written'
        return 1
    fi
    grep -q 'snapshots.conf' "$place/live.log" || {
        cat "$place/live.log"
        return 1
    }
}

snapshots_drop_in_lets_it_be_written() {
    shipped jailer.conf snapshots.conf && loads_go_on || return 1
    live_snapshot || {
        cat "$place/live.log"
        return 1
    }
    [ "$(inside stat -c '%s' $live/jailed)" -eq "$(stat -c '%s' "$place/scratch/mem.bin")" ] && inside test -s $live/jailed.json && load_lives jailed
}

# The VM checks every byte once more.
drop_ins_are_taken_away() {
    local rc=0
    load_end jailed || rc=1
    inside uffdctl snapshot stop jailed && inside uffdctl image remove jailed || rc=1
    shipped && loads_go_on && return $rc
}
