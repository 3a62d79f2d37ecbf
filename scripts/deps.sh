#!/usr/bin/env bash
# usage: scripts/deps.sh GOAL...      goals: build run test bench lint
# Installs the Debian packages that the goals need and that are not there yet. Nothing is installed, and no package list fetched, when
# nothing is missing. Services that such packages bring are neither started nor enabled: the tests start what they need themselves.
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

# package | command or path that shows it is there | goals | why
packages() {
    cat <<'TABLE'
gcc           | gcc                                    | build test bench run | the shim, uffd-run, and the tests that check constants against the C compiler
libc6-dev     | /usr/include/linux/userfaultfd.h       | build test bench run | C library and kernel headers
gcc-aarch64-linux-gnu | aarch64-linux-gnu-gcc          | test                 | layouts of kernel structures are checked for that machine too
libc6-dev-arm64-cross | /usr/aarch64-linux-gnu/include/sys/epoll.h | test    | headers for it
make          | make                                   | build test bench run lint | this build
binutils      | nm                                     | test                 | exported names of the shim are compared with exports.map
python3       | /usr/bin/python3                           | run test lint        | checks JSON files; a real program under the shim, with fork
redis-server  | redis-server                           | test                 | a real program under the shim, with BGSAVE
redis-tools   | redis-benchmark                        | test                 | load for redis-server
sqlite3       | sqlite3                                | test                 | a real program under the shim
nodejs        | node                                   | test                 | a real program under the shim, with large reservations and a JIT
postgresql    | /usr/lib/postgresql/*/bin/postgres     | test                 | a real program under the shim, as its own user and with many forks
stress-ng     | stress-ng                              | test                 | verified memory load under the shim
prometheus    | prometheus                             | test                 | scrapes the daemon; promtool checks the exposition
chromium      | chromium                               | test                 | opens the dashboard, without a screen
procps        | ps                                     | test run             | looks at processes under the shim
util-linux    | setpriv                                | test run             | drops privileges for unprivileged clients
bsdutils      | script                                 | test                 | gives uffdctl a terminal
zsh           | zsh                                    | test                 | runs the completion script for it
fish          | fish                                   | test                 | runs the completion script for it
curl          | curl                                   | test                 | asks the control socket as other users
clang-format  | clang-format                           | lint                 | format of C files
shellcheck    | shellcheck                             | lint                 | scripts
man-db        | man                                    | lint                 | man --warnings
groff         | /usr/share/groff/*/tmac/an.tmac        | lint                 | the formatter behind man --warnings
systemd       | systemd-analyze                        | test lint            | systemd-analyze verify on the units; the systemd of the container
systemd-container | systemd-nspawn                     | test                 | boots a container from this machine's root directory
dbus          | dbus-daemon                            | test                 | the message bus of that container
udev          | udevadm                                | test                 | applies the udev rule in that container
TABLE
}

present() {
    case $1 in
    /*) compgen -G "$1" >/dev/null ;;
    *) command -v "$1" >/dev/null ;;
    esac
}

wanted() {
    local goal
    for goal in "${goals[@]}"; do
        case " $1 " in *" $goal "*) return 0 ;; esac
    done
    return 1
}

# A package's service must not start on a developer's machine only because a test wants its binary. policy-rc.d refuses the start; a
# file that the administrator put there is left alone.
with_services_held() {
    local policy=/usr/sbin/policy-rc.d
    if [ -e "$policy" ]; then
        "$@"
        return
    fi
    printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
    "${sudo[@]}" chmod 755 "$policy"
    # Expanded now: the variables are local.
    # shellcheck disable=SC2064
    trap "${sudo[*]} rm -f $policy" EXIT
    "$@"
    "${sudo[@]}" rm -f "$policy"
    trap - EXIT
}

# Freshly installed services would come up at the next boot; ones that were there before are the administrator's.
disable_services() {
    [ -d /run/systemd/system ] || return 0
    local package unit
    for package in "$@"; do
        for unit in $(dpkg -L "$package" 2>/dev/null | sed -n 's|.*/systemd/system/\([^@/]*\.service\)$|\1|p'); do
            "${sudo[@]}" systemctl --quiet disable "$unit" || true
        done
    done
}

check_dotnet() {
    # global.json says which SDK; `dotnet --version` in this folder fails if none fits.
    if ! dotnet --version >/dev/null 2>&1; then
        die 'the .NET SDK 10.0 is missing. Debian does not carry it: https://learn.microsoft.com/dotnet/core/install/linux-debian'
    fi
}

goals=("$@")
[ ${#goals[@]} -gt 0 ] || goals=(build)
for goal in "${goals[@]}"; do
    case $goal in
    build | run | test | bench | lint) ;;
    *)
        echo "usage: scripts/deps.sh {build|run|test|bench|lint}..." >&2
        exit 64
        ;;
    esac
done

missing=()
reasons=
while IFS='|' read -r package probe for_goals why; do
    package=${package// /}
    probe=${probe// /}
    if wanted "$for_goals" && ! present "$probe"; then
        missing+=("$package")
        reasons+="  $package: ${why# }"$'\n'
    fi
done < <(packages)

if [ ${#missing[@]} -gt 0 ]; then
    say "missing packages:"
    printf '%s' "$reasons"
    command -v apt-get >/dev/null || die "apt-get is not here; install by other means: ${missing[*]}"
    sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || die "neither root nor sudo; as root: apt-get install ${missing[*]}"
        sudo=(sudo)
        # Without a terminal nobody can type a password.
        [ -t 0 ] || sudo=(sudo -n)
        "${sudo[@]}" true || die "sudo refused; as root: apt-get install ${missing[*]}"
    fi
    export DEBIAN_FRONTEND=noninteractive
    "${sudo[@]}" apt-get update -q </dev/null
    with_services_held "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends "${missing[@]}" </dev/null
    disable_services "${missing[@]}"
fi

check_dotnet
