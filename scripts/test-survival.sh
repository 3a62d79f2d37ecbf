#!/usr/bin/env bash
# usage: [SEED=N] [KILLS=N] [CLIENTS=N] [RESTARTS=N] [FILTER=TEXT] scripts/test-survival.sh
# The full proof that nobody notices when the manager dies: clients that know every byte of their memory, and a manager that is killed 200
# times at random moments, at every named step of its work, restarted, upgraded, stalled, and handed damaged state. `make test` runs the same
# with 20 kills. A run is repeated by the SEED that a failure names. FILTER=EndToEnd.Tests.Model: the model test. Last line: N passed, N failed.
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

results=$artifacts/test-results
trx=$results/Survival.trx

[ "$(id -u)" -eq 0 ] || die 'needs root: it makes userfaultfds of every kind and kills processes'
scripts/deps.sh build run test
if [ -z "${SURVIVAL_NO_BUILD:-}" ]; then
    scripts/build.sh Debug
fi

export UFFD_REPO_ROOT=$root UFFD_NATIVE_DIR=$native UFFD_TEST_REQUIRE=all
export UFFD_SURVIVAL_SEED=${SEED:-$((RANDOM * 32768 + RANDOM + 1))}
export UFFD_SURVIVAL_KILLS=${KILLS:-200} UFFD_SURVIVAL_CLIENTS=${CLIENTS:-5} UFFD_SURVIVAL_RESTARTS=${RESTARTS:-200}
mkdir -p "$results"
rm -f "$trx"
say "SEED=$UFFD_SURVIVAL_SEED KILLS=$UFFD_SURVIVAL_KILLS CLIENTS=$UFFD_SURVIVAL_CLIENTS RESTARTS=$UFFD_SURVIVAL_RESTARTS"
# The counts come from the trx file, so that an end of every kind is told; a test that hangs is killed with its host.
rc=0
dotnet test tests/EndToEnd/UffdManager.EndToEnd.Tests.csproj -c Debug --no-build --nologo \
    --filter "FullyQualifiedName~${FILTER:-EndToEnd.Tests.Survival}" \
    --logger 'console;verbosity=normal' --logger "trx;LogFileName=$trx" \
    --blame-hang-timeout 40m --blame-hang-dump-type none --results-directory "$results/Survival" </dev/null || rc=$?

read -r total ok bad < <(
    sed -n 's/.*<Counters total="\([0-9]*\)" executed="[0-9]*" passed="\([0-9]*\)" failed="\([0-9]*\)".*/\1 \2 \3/p' "$trx" 2>/dev/null || true
) || true
if [ -z "${total:-}" ] || [ "$total" -eq 0 ]; then
    echo "no test ran (exit code $rc)"
    echo '0 passed, 1 failed'
    exit 1
fi
# A host that did not end in order has not run everything, whatever the file says.
if [ "$rc" -ne 0 ] && [ "$bad" -eq 0 ]; then
    bad=1
fi
echo "$ok passed, $bad failed"
[ "$bad" -eq 0 ]
