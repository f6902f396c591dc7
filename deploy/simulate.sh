#!/usr/bin/env bash
# deploy/simulate.sh: thousands of seeds of mixed faults through the simulator, in a release build, on all cores.
#
#   simulate.sh [--seeds A..B]    seeds A to B - 1 of each kind of exchange (default 0..10000)
#
# A kind is a test of dataplane/sim/tests/scenarios/faults.rs: every byte right, nobody past a deadline, the pools full at
# the end. CI runs the first 300 seeds of each in a debug build; this is for the night. Says how far it is, names every
# seed that failed with the command that brings it back, and ends with "N passed, N failed": a seed of a kind is one
# test. Status 1 where one failed. CARGO_TARGET_DIR is respected. POLLUX_SCENARIOS names a test binary built before.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/say.sh
. "$here/say.sh"
# shellcheck source=deploy/prerequisites.sh
. "$here/prerequisites.sh"

FIRST=0
END=10000
# Seeds of one process.
CHUNK=50
# What these may take; the slowest need a fifth of a second each.
CHUNK_SECONDS=600
# The one test of the file that has no seeds.
WITHOUT_SEEDS=faults::one_seed_has_one_history

main() {
    case ${1-} in
        -h | --help) show_help && exit ;;
        --chunk) run_chunk "${@:2}" && exit ;;
        --seeds)
            [[ $# -eq 2 ]] || misuse '--seeds wants a range such as 0..10000'
            read_seeds "$2"
            ;;
        '') ;;
        *) misuse "'$1' is not understood" ;;
    esac
    scratch=$(mktemp -d)
    group=''
    trap leave EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    binary=${POLLUX_SCENARIOS:-}
    [[ -n $binary ]] || build
    export scratch binary
    "$binary" --list faults:: | sed -n 's/: test$//p' | grep -vx "$WITHOUT_SEEDS" >"$scratch/kinds" ||
        die "$binary has no test faults::"
    run
}

leave() {
    trap '' INT TERM HUP
    [[ -z $group ]] || kill -TERM -- "-$group" 2>/dev/null || true
    rm -rf "$scratch"
}

# read_seeds RANGE: sets FIRST and END.
read_seeds() {
    [[ $1 =~ ^([0-9]{1,9})\.\.([0-9]{1,9})$ ]] || misuse "--seeds wants a range such as 0..10000, not '$1'"
    # Not octal, whatever it begins with.
    FIRST=$((10#${BASH_REMATCH[1]}))
    END=$((10#${BASH_REMATCH[2]}))
    [[ $FIRST -lt $END ]] || misuse "there is no seed in $1: the second number is behind the last one"
}

build() {
    provide_packages "${BUILD_PACKAGES[@]}"
    provide_rust
    (cd "$root" && cargo test --release --locked -p sim --test scenarios --no-run) 2>&1 | tee "$scratch/build" >&2 ||
        die "the build failed: see above"
    binary=$(cd "$root" && realpath "$(sed -n 's/^ *Executable .*(\(.*\))$/\1/p' "$scratch/build")")
}

run() {
    local kinds all kind good bad chunk passed=0 failed=0 said=0
    kinds=$(wc -l <"$scratch/kinds")
    all=$((kinds * (END - FIRST)))
    say "$kinds kinds of exchange, seeds $FIRST to $((END - 1)), $(nproc) at a time"
    chunks >"$scratch/chunks"
    mkfifo "$scratch/results"
    # A process group of its own, which can be ended with all that it has started.
    setsid xargs --arg-file "$scratch/chunks" --max-procs "$(nproc)" --max-args 3 "$0" --chunk >"$scratch/results" &
    group=$!
    while read -r kind good bad chunk; do
        passed=$((passed + good))
        failed=$((failed + bad))
        if [[ $bad -gt 0 ]]; then report "$kind" "$chunk"; fi
        if [[ $(((passed + failed) * 20 / all)) -gt $said ]]; then
            said=$(((passed + failed) * 20 / all))
            say "$((passed + failed)) of $all after $SECONDS s, $failed failed"
        fi
    done <"$scratch/results"
    wait "$group" || true
    group=''
    if [[ $failed -gt 0 ]]; then summarize; fi
    # A chunk without a result has failed as well.
    failed=$((all - passed))
    echo "$passed passed, $failed failed"
    [[ $failed -eq 0 ]]
}

# "KIND FIRST END" for each process: all kinds of some seeds before any of the next.
chunks() {
    local first end kind
    for ((first = FIRST; first < END; first = end)); do
        end=$((first + CHUNK < END ? first + CHUNK : END))
        while read -r kind; do echo "$kind $first $end"; done <"$scratch/kinds"
    done
}

# run_chunk KIND FIRST END: prints "KIND PASSED FAILED FIRST". The seeds that failed are in a file, or a word instead.
run_chunk() {
    local kind=$1 first=$2 end=$3 output=$scratch/$1.$2 bad
    if SIM_SEED=$first..$end timeout --foreground --kill-after 5 "$CHUNK_SECONDS" "$binary" --exact "$kind" --nocapture >"$output" 2>&1 &&
        grep -q '^test result: ok. 1 passed' "$output"; then
        echo "$kind $((end - first)) 0 $first"
        rm "$output"
        return
    fi
    sed -n 's/^seed \([0-9]*\) failed; .*/\1/p' "$output" | sort -nu >"$output.seeds"
    bad=$(wc -l <"$output.seeds")
    # It died or hung, and nobody knows which seed did it.
    if ! grep -q '^test result: ' "$output" || [[ $bad -eq 0 ]]; then
        bad=$((end - first))
        echo "$first..$end" >"$output.seeds"
    fi
    echo "$kind $((end - first - bad)) $bad $first"
}

# report KIND FIRST: what the seeds of that chunk died of.
report() {
    local output=$scratch/$1.$2
    warn "$1, seeds $(paste -sd ' ' "$output.seeds"):"
    { grep -A 2 ' panicked at ' "$output" || tail -n 5 "$output"; } | head -n 40 | cut -c 1-300 | sed 's/^/    /' >&2
}

# By kind, each seed that failed and how to have one back.
summarize() {
    local kind seeds
    while read -r kind; do
        seeds=$(find "$scratch" -name "$kind.*.seeds" -exec cat {} + | sort -n | paste -sd ' ')
        [[ -n $seeds ]] || continue
        say "$kind failed with seeds $seeds; to have one back:"
        say "    SIM_SEED=${seeds%% *} cargo test --release --locked -p sim --test scenarios -- --exact $kind"
    done <"$scratch/kinds"
}

main "$@"
