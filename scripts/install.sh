#!/usr/bin/env bash
# usage: make install [DESTDIR=] [PREFIX=/usr/local] [SYSCONFDIR=/etc] [NO_BUILD=1]
# Publishes the daemon and uffdctl and installs them with the shim, uffd-run, uffd-supervise, the systemd units, the protocol's header,
# the man pages and the default configuration. The manifest that it leaves behind is what uninstall goes by, so the two cannot disagree.
# NO_BUILD=1 installs what lies in artifacts/ (PUBLISHED=DIR: daemon and uffdctl in DIR) from an earlier build; nothing is compiled or
# fetched.
#
# May be done over an installation that runs: files are put beside their places first and then moved there at once, and nothing is
# restarted. `systemctl restart uffd-manager` changes to the new version; programs under the manager wait meanwhile and notice nothing.
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=scripts/layout.sh
. "$root/scripts/layout.sh"

: "${NO_BUILD:=}" "${PUBLISHED:=$artifacts/publish}"
files=()
directories=()
# Between put and move_into_place a file has this at the end of its name.
pending=.uffd-manager-new
scratch=$(mktemp)
trap 'rm -f "$scratch"' EXIT

# Makes the directories above $1 and remembers the ones that were not there.
make_parents() {
    local directory
    directory=$(dirname "$1")
    [ ! -d "$DESTDIR$directory" ] || return 0
    make_parents "$directory"
    install -d -m 755 "$DESTDIR$directory"
    directories=("$directory/" "${directories[@]}")
}

# put MODE FROM TO
put() {
    make_parents "$3"
    files+=("$3")
    install -m "$1" "$2" "$DESTDIR$3$pending"
}

# put_output MODE TO COMMAND...: what the command prints becomes the file.
put_output() {
    local mode=$1 to=$2
    shift 2
    "$@" >"$scratch"
    put "$mode" "$scratch" "$to"
}

# A launcher and not a link: the host of .NET looks for its libraries beside the name that it was started by. exec, because the process
# that whoever started it knows must be the program itself (LISTEN_PID, MAINPID). The runtime's debugging socket and pipes stay in /tmp when
# the program is killed, and cost time at every start: they are for those who ask for them.
launcher() {
    cat <<END
#!/bin/sh
: "\${DOTNET_EnableDiagnostics:=0}"
export DOTNET_EnableDiagnostics
exec $1 "\$@"
END
}

# put_tree FROM TO
put_tree() {
    local file mode
    while read -r file; do
        mode=644
        [ ! -x "$1/$file" ] || mode=755
        put $mode "$1/$file" "$2/$file"
    done < <(cd "$1" && find . -type f -printf '%P\n' | sort)
}

# A manager that is killed while this runs must not come back from half of the old and half of the new files.
move_into_place() {
    local file
    for file in "${files[@]}"; do
        mv -f "$DESTDIR$file$pending" "$DESTDIR$file"
    done
}

# Runs whatever happens: a half-done installation must be removable too.
write_manifest() {
    local path
    local -A installed=()
    [ ${#files[@]} -gt 0 ] || return 0
    for path in "${files[@]}"; do
        rm -f "$DESTDIR$path$pending"
    done
    # What an earlier version installed and this one does not goes now; nobody would remember it later.
    if [ -e "$DESTDIR$manifest" ]; then
        for path in "${files[@]}"; do
            installed[$path]=1
        done
        while read -r path; do
            case $path in
            */) directories+=("$path") ;;
            "$config") files+=("$path") ;;
            *) [ -n "${installed[$path]:-}" ] || rm -f "$DESTDIR$path" ;;
            esac
        done <"$DESTDIR$manifest"
    fi
    files+=("$manifest")
    make_parents "$manifest"
    printf '%s\n' "${files[@]}" "${directories[@]}" | awk '!seen[$0]++' >"$scratch"
    install -m 644 "$scratch" "$DESTDIR$manifest"
}

put_programs() {
    local header page
    put_tree "$PUBLISHED/uffd-manager" "$libdir"
    put_output 755 "$sbindir/uffd-manager" launcher "$libdir/uffd-manager"

    put_tree "$PUBLISHED/uffdctl" "$libdir/uffdctl"
    put_output 755 "$bindir/uffdctl" launcher "$libdir/uffdctl/uffdctl"

    put 755 "$native/uffd-run" "$bindir/uffd-run"
    put 755 "$native/uffd-supervise" "$bindir/uffd-supervise"
    put 644 "$native/libuffd-shim.so" "$libdir/libuffd-shim.so"

    while read -r header; do
        put 644 "protocol/include/$header" "$includedir/$header"
    done < <(cd protocol/include && find . -name '*.h' -printf '%P\n' | sort)
    for page in docs/man/*.[1-8]; do
        put 644 "$page" "$mandir/man${page##*.}/${page##*/}"
    done
}

put_completions() {
    local uffdctl=$PUBLISHED/uffdctl/uffdctl
    put_output 644 "$bash_completions/uffdctl" "$uffdctl" completion bash
    put_output 644 "$zsh_completions/_uffdctl" "$uffdctl" completion zsh
    put_output 644 "$fish_completions/uffdctl.fish" "$uffdctl" completion fish
}

put_units() {
    local unit
    put 755 systemd/unit-stop "$libdir/unit-stop"
    for unit in "${units[@]}"; do
        if [ -e "systemd/$unit.in" ]; then
            put_output 644 "$unitdir/$unit" sed "s|@LIBDIR@|$libdir|g" "systemd/$unit.in"
        else
            put 644 "systemd/$unit" "$unitdir/$unit"
        fi
    done
    put 644 systemd/sysusers.d/uffd-manager.conf "$sysusersdir/uffd-manager.conf"
    put 644 systemd/tmpfiles.d/uffd-manager.conf "$tmpfilesdir/uffd-manager.conf"
    put 644 systemd/udev/60-uffd-manager.rules "$udevdir/60-uffd-manager.rules"
}

# Makes the accounts, the directory and the device's permissions now instead of at the next boot.
tell_systemd() {
    case $PREFIX in
    /usr | /usr/local) ;;
    *)
        say "systemd does not look below $PREFIX: units, accounts and the udev rule there take no effect by themselves (systemd/README.md)"
        return
        ;;
    esac
    if ! systemd_runs; then
        [ -n "$DESTDIR" ] || say 'systemd does not run here: accounts, /run/uffd-manager and the permissions of /dev/userfaultfd are made when it boots'
        return 0
    fi
    say "telling systemd: accounts, directories, units, permissions of /dev/userfaultfd"
    systemd-sysusers "$sysusersdir/uffd-manager.conf"
    systemd-tmpfiles --create "$tmpfilesdir/uffd-manager.conf"
    systemctl daemon-reload
    if command -v udevadm >/dev/null && udevadm control --reload 2>/dev/null; then
        udevadm trigger --action=change --subsystem-match=misc --sysname-match=userfaultfd || say 'udev did not answer: /dev/userfaultfd changes at the next boot'
    else
        say 'udev does not run here: /dev/userfaultfd must be given to group uffd (0660) by other means'
    fi
    if systemctl --quiet is-active uffd-manager.service; then
        say 'the manager runs on in its old version; change to the new one with: systemctl restart uffd-manager'
    else
        say 'to start it, now and at boot: systemctl enable --now uffd-manager.socket uffd-manager-control.socket uffd-manager.service'
    fi
}

if [ -z "$NO_BUILD" ]; then
    scripts/deps.sh build
    for dir in $(native_dirs); do
        native_make "$dir" all
    done
    PUBLISHED=$PUBLISHED scripts/publish.sh
fi
for built in "$PUBLISHED/uffd-manager/uffd-manager" "$PUBLISHED/uffdctl/uffdctl" "$native/uffd-run" "$native/uffd-supervise"; do
    [ -x "$built" ] || die "$built is not built${NO_BUILD:+; leave NO_BUILD=1 away}"
done

say "installing below $DESTDIR$PREFIX"
trap 'write_manifest; rm -f "$scratch"' EXIT
put_programs
put_completions
put_units

# A configuration that is there belongs to the administrator.
if [ -e "$DESTDIR$config" ]; then
    say "kept $DESTDIR$config"
else
    put 644 "$default_config" "$config"
fi
move_into_place
write_manifest
files=()
tell_systemd
