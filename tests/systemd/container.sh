# shellcheck shell=bash
# Sourced by run.sh: a container with a systemd of its own that runs from this machine's root directory, which stays as it is. No image
# and no download are needed: the root is the lower layer of an overlay whose upper one lies in memory.
# shellcheck disable=SC2154

machine=uffd-manager-test-$$
place=
nspawn=
leader=

# What the programs inside see of the outside: the checkout, what was built of it, and .NET.
inside_checkout=/srv/uffd/checkout
inside_artifacts=/srv/uffd/artifacts
inside_dotnet=/usr/share/dotnet

# why_not: prints why no container can run here; nothing if one can.
container_why_not() {
    if [ "$(id -u)" -ne 0 ]; then
        echo 'needs root'
    elif ! command -v systemd-nspawn >/dev/null; then
        echo 'needs systemd-nspawn (package systemd-container)'
    elif [ ! -c /dev/userfaultfd ]; then
        echo 'needs /dev/userfaultfd (Linux 6.1)'
    elif ! grep -qw overlay /proc/filesystems && ! modprobe overlay 2>/dev/null; then
        echo 'needs overlayfs'
    elif ! unshare --mount --pid --fork true 2>/dev/null; then
        echo 'may not make namespaces'
    fi
}

# A root directory that boots into nothing but what the tests need: no services of this machine, no accounts of an earlier test.
container_make() {
    local dotnet
    place=$(mktemp -d /tmp/uffd-systemd.XXXXXX)
    mount -t tmpfs -o mode=755 tmpfs "$place"
    mkdir "$place"/{upper,work,tree,scratch}
    mount -t overlay overlay -o "lowerdir=/,upperdir=$place/upper,workdir=$place/work" "$place/tree"
    rm -rf "$place"/tree/etc/machine-id "$place"/tree/etc/systemd/system/*.wants "$place"/tree/var/log/journal \
        "$place"/tree/etc/uffd-manager "$place"/tree/usr/local/lib/systemd/system/uffd-manager*
    sed -i '/^uffd/d' "$place"/tree/etc/{passwd,group,shadow,gshadow}
    mkdir -p "$place"/tree{/etc/systemd/system,/etc/systemd/journald.conf.d,$inside_checkout,$inside_artifacts,$inside_dotnet}
    cat >"$place/tree/etc/systemd/system/uffd-test.target" <<'UNIT'
[Unit]
Requires=basic.target dbus.socket
After=basic.target
UNIT
    # What a distribution does now and then would be in the way.
    ln -s /dev/null "$place/tree/etc/systemd/system/timers.target"
    printf '[Journal]\nStorage=volatile\nRateLimitBurst=0\n' >"$place/tree/etc/systemd/journald.conf.d/test.conf"
    dotnet=$(dirname "$(readlink -f "$(command -v dotnet)")")
    binds=("--bind-ro=$root:$inside_checkout" "--bind-ro=$artifacts:$inside_artifacts" "--bind-ro=$dotnet:$inside_dotnet" "--bind=$place/scratch:/srv/uffd/scratch")
}

# kcmp is what systemd tells descriptors apart with, bpf is for DeviceAllow=; the rest is what the manager lives on. nspawn forbids them
# unless told.
container_boot() {
    local deadline=$((SECONDS + 60)) state scope=(--keep-unit)
    # Where systemd runs this machine it gives the container a unit, and the unit the device.
    [ ! -d /run/systemd/system ] || scope=('--property=DeviceAllow=/dev/userfaultfd rwm')
    UNIFIED_CGROUP_HIERARCHY=1 setsid systemd-nspawn --quiet --register=no "${scope[@]}" --directory="$place/tree" --machine="$machine" \
        --private-network --console=read-only --kill-signal=SIGRTMIN+3 "${binds[@]}" \
        --system-call-filter='bpf kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev userfaultfd' \
        --boot systemd.unit=uffd-test.target "$@" >"$place/boot.log" 2>&1 </dev/null &
    nspawn=$!
    # A unit of this machine that fails in a container (degraded) is no concern of these tests.
    until leader=$(pgrep -P "$nspawn" -x systemd) && state=$(inside systemctl is-system-running 2>/dev/null) || [ "${state:-}" = degraded ]; do
        if ! kill -0 "$nspawn" 2>/dev/null || [ $SECONDS -ge $deadline ]; then
            cat "$place/boot.log"
            return 1
        fi
        pause
    done
    # A node of its own: the permissions of this machine's must stay as they are.
    # shellcheck disable=SC2046
    inside mknod -m 600 /dev/userfaultfd c $(stat -c '0x%t 0x%T' /dev/userfaultfd | { read -r major minor && echo $((major)) $((minor)); })
}

# inside COMMAND...: runs it in the container, as root.
inside() { nsenter --target "$leader" --mount --uts --ipc --net --pid --cgroup -- "$@"; }

# Waits a moment, between two looks at a condition.
pause() { read -r -t 0.05 -u "$tick" || true; }
exec {tick}<> <(:)

container_end() {
    if [ -n "$nspawn" ]; then
        kill -TERM "$nspawn" 2>/dev/null || true
        local deadline=$((SECONDS + 15))
        while kill -0 "$nspawn" 2>/dev/null; do
            [ $SECONDS -lt $deadline ] || kill -KILL "$nspawn"
            pause
        done
        wait "$nspawn" 2>/dev/null || true
        nspawn=
    fi
    if [ -n "$place" ]; then
        umount "$place/tree" 2>/dev/null || umount -l "$place/tree" 2>/dev/null || true
        umount "$place" 2>/dev/null || umount -l "$place" 2>/dev/null || true
        rmdir "$place" 2>/dev/null || true
        place=
    fi
}
