#!/usr/bin/env bash
# usage: scripts/lint.sh [CHECK...]        CHECK: build csharp_format c_format shell man_pages units json links fences; none = all
# Runs every check and reports every finding, then fails if there was one. The checks are the functions lint_*.
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

configuration=${CONFIGURATION:-Debug}

tracked() { git ls-files -z --cached --others --exclude-standard -- "$@"; }

# Compilers and analyzers; warnings are errors.
lint_build() { scripts/build.sh "$configuration"; }

lint_csharp_format() {
    local rc=0
    dotnet format whitespace Manager.sln --no-restore --verify-no-changes || rc=1
    dotnet format style Manager.sln --no-restore --verify-no-changes || rc=1
    return $rc
}

lint_c_format() { tracked '*.c' '*.h' | xargs -0 -r clang-format --dry-run -Werror; }

lint_shell() {
    local file scripts=()
    while IFS= read -r -d '' file; do
        if head -n 1 "$file" | grep -qE '^#!.*\b(ba)?sh\b|^# shellcheck shell='; then
            scripts+=("$file")
        fi
    done < <(tracked)
    shellcheck -x "${scripts[@]}"
}

lint_man_pages() {
    local page findings rc=0
    while IFS= read -r -d '' page; do
        findings=$(LC_ALL=C.UTF-8 MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null)
        if [ -n "$findings" ]; then
            printf '%s: %s\n' "$page" "$findings"
            rc=1
        fi
    done < <(tracked 'docs/man/*.[1-8]')
    return $rc
}

# Every unit is loaded as systemd would, and the services may not be more exposed than 2.0 of 10. Then once more with the drop-ins, of which what systemd only
# warns of is a finding too: a misspelt key would take effect nowhere.
lint_units() {
    local dir unit command units=() warnings rc=0
    dir=$(mktemp -d)
    while IFS= read -r -d '' unit; do
        # Verification wants the programs to be there.
        sed "s|@LIBDIR@|$dir|g" "$unit" >"$dir/$(basename "$unit" .in)"
        units+=("$dir/$(basename "$unit" .in)")
        while read -r command; do
            install -m 755 /dev/null "$dir/${command#@LIBDIR@/}"
        done < <(grep -oE '@LIBDIR@/[^[:blank:]]+' "$unit")
    done < <(tracked 'systemd/*.service' 'systemd/*.service.in' 'systemd/*.socket')
    systemd-analyze verify --man=no "${units[@]}" || rc=1
    for unit in "${units[@]}"; do
        case $unit in *.socket) continue ;; esac
        # Of a service that looks into other processes and opens what they name; RestrictSUIDSGID= would be 0.2 less, and takes openat2(2) away.
        systemd-analyze security --offline=true --threshold=22 --no-pager "$unit" >"$dir/security" 2>&1 || {
            cat "$dir/security"
            rc=1
        }
    done
    mkdir "$dir/uffd-manager.service.d"
    while IFS= read -r -d '' unit; do
        case $unit in systemd/*/*) continue ;; esac
        cp "$unit" "$dir/uffd-manager.service.d/"
    done < <(tracked 'systemd/*.conf')
    warnings=$(systemd-analyze verify --man=no "$dir/uffd-manager.service" 2>&1) || rc=1
    if [ -n "$warnings" ]; then
        echo "$warnings"
        rc=1
    fi
    rm -rf "$dir"
    return $rc
}

lint_json() {
    local file rc=0
    while IFS= read -r -d '' file; do
        python3 -m json.tool "$file" /dev/null || { echo "$file"; rc=1; }
    done < <(tracked '*.json')
    return $rc
}

# Files that the documentation points at are there.
lint_links() {
    local page target rc=0
    while IFS= read -r -d '' page; do
        while read -r target; do
            target=${target%%#*}
            [ -z "$target" ] || [ -e "$(dirname "$page")/$target" ] || {
                echo "$page: $target does not exist"
                rc=1
            }
        done < <(grep -oE '\]\([^)]+\)' "$page" | sed -E 's/^\]\((.*)\)$/\1/' | grep -vE '^[a-z]+:')
    done < <(tracked '*.md')
    return $rc
}

# fence PATTERN WHY PATHSPEC...: the pattern (extended regular expression) must not occur, except in a line that says
# `lint: allowed` and why. Every pattern holds a bracket expression, so that this file does not match itself.
fence() {
    local pattern=$1 why=$2 found
    shift 2
    found=$(git grep --untracked -nIE -e "$pattern" -- "$@" | grep -v 'lint: allowed' || true)
    [ -z "$found" ] || {
        printf '%s\n    ^ %s\n' "$found" "$why"
        return 1
    }
}

lint_fences() {
    local rc=0
    fence '\b(TOD[O]|FIXM[E]|XX[X]|HAC[K])\b' 'finish it, or open an issue' . || rc=1
    fence '\bNotImplementedExceptio[n]\b' 'finish it' '*.cs' || rc=1
    fence '\bThread\.Slee[p]\b' 'wait for a condition, not for a time' '*.cs' || rc=1
    fence '\bu?slee[p]\(' 'wait for a condition, not for a time' '*.c' || rc=1
    fence '\b(DllImpor[t]|LibraryImpor[t])\b|AllowUnsafeBlock[s]|\bunsaf[e]\b *(class|struct|static|void|\{)' \
        'system calls and pointers live in manager/Linux alone' '*.cs' '*.csproj' ':!manager/Linux' || rc=1
    fence 'Microsoft\.Extensions|OpenTelemetr[y]|Microsoft\.AspNetCor[e]' \
        'the engine and what is below it know neither host nor telemetry packages' manager/Engine manager/Linux protocol || rc=1
    fence '(^|[^[:alnum:]_.])/(hom[e]|roo[t]|wor[k])/[[:alnum:]]|/tm[p]/contracts|\bissu[e] #?[0-9]+|DEVELOPER[S]\.md|\.\./share[d]\b' \
        'paths and papers of one machine mean nothing to a reader' . || rc=1
    fence '[[:blank:]]+$' 'trailing blank' '*.sh' '*.c' '*.h' '*.cs' '*.json' '*.props' '*.csproj' Makefile .ci/run || rc=1
    return $rc
}

mapfile -t all < <(declare -F | sed -n 's/^declare -f lint_\(.*\)$/\1/p')
checks=("$@")
[ $# -gt 0 ] || checks=("${all[@]}")
for check in "${checks[@]}"; do
    declare -F "lint_$check" >/dev/null || die "there is no check $check; there are: ${all[*]}"
done

scripts/deps.sh build lint
failed=()
for check in "${checks[@]}"; do
    say "lint: $check"
    # A subshell, so that a check cannot end the ones after it.
    if ! (set +e; "lint_$check"); then
        failed+=("$check")
    fi
done

if [ ${#failed[@]} -gt 0 ]; then
    echo "lint: findings in ${failed[*]}"
    exit 1
fi
echo 'lint: no findings'
