#!/usr/bin/env bash
# deploy/bench/instructions.sh: instructions one core spends on a request, counted by callgrind.
#
#   instructions.sh            compare with deploy/bench/instructions.txt; a rise of more than 2 % fails
#   instructions.sh --write    write what was counted into that file
#   instructions.sh --compare OLD NEW
#                              compare two such files and count nothing
#
# Runs every profile of the example `core_loop` of dataplane/sim: the worker loop, TCP, HTTP and handlers as
# they ship (release profile), a NIC in memory. Counted are the turns of the worker, not the clients. The
# counts depend on the compiler and on the C library's copying; the file says which it was written with, and
# with others nothing is compared. Ends with "N passed, N failed": a profile is one test.

set -euo pipefail
bench=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
here=$(dirname "$bench")
# shellcheck source=deploy/say.sh
. "$here/say.sh"
# shellcheck source=deploy/prerequisites.sh
. "$here/prerequisites.sh"

COUNTS=$bench/instructions.txt
PROFILES=(pipeline pipeline-16-deep json-50 static-16k reconnect-10)
RISE_MAX_PERCENT=2
RUN_SECONDS=120

main() {
    local write='' profile
    case ${1-} in
        -h | --help) show_help && exit ;;
        --write) write=yes ;;
        --compare)
            [[ $# -eq 3 ]] || misuse "--compare wants two files"
            compare "$2" "$3"
            exit
            ;;
        '') ;;
        *) misuse "'$1' is not understood" ;;
    esac
    provide_packages "${BUILD_PACKAGES[@]}" valgrind
    provide_rust
    (cd "$root" && cargo build --release --locked --quiet -p sim --example core_loop) ||
        die "the build failed: see above"
    binary=${CARGO_TARGET_DIR:-$root/target}/release/examples/core_loop
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    printf '# instructions a request, 64 connections; %s\n' "$(made_with)" >"$scratch/counts"
    for profile in "${PROFILES[@]}"; do
        printf '%s %s\n' "$profile" "$(count "$profile")" >>"$scratch/counts"
    done
    if [[ -n $write ]]; then
        cp "$scratch/counts" "$COUNTS"
        cat "$COUNTS"
    else
        compare "$COUNTS" "$scratch/counts"
    fi
}

# What the counts depend on beside the source.
made_with() {
    local vectors='no AVX2'
    if grep -qw avx2 /proc/cpuinfo; then vectors=AVX2; fi
    printf '%s, %s, %s' "$(cd "$root" && rustc --version | cut -d ' ' -f 1-2)" "$(getconf GNU_LIBC_VERSION)" "$vectors"
}

# count PROFILE: instructions a request, rounded to whole ones.
count() {
    local requests said
    requests=$(timeout "$RUN_SECONDS" valgrind --tool=callgrind --collect-atstart=no \
        --toggle-collect='*core_loop::measured*' --callgrind-out-file=/dev/null --log-file="$scratch/log" \
        "$binary" "$1") || die "$1 did not run: $(tail -n 3 "$scratch/log")"
    said=$(sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$scratch/log")
    [[ ${said:-0} -gt 0 ]] || die "callgrind counted nothing of $1: has core_loop::measured another name?"
    awk -v instructions="$said" -v requests="${requests#* }" 'BEGIN { printf "%d", instructions / requests + 0.5 }'
}

# compare OLD NEW: two files of counts.
compare() {
    local old new
    old=$(head -n 1 "$1")
    new=$(head -n 1 "$2")
    if [[ $old != "$new" ]]; then
        say "skipped: the counts are of '${old#*; }', here is '${new#*; }'; run --write on the commit before to compare"
        tail -n +2 "$2"
        echo "0 passed, 0 failed"
        return
    fi
    join <(tail -n +2 "$1" | sort) <(tail -n +2 "$2" | sort) | awk -v max="$RISE_MAX_PERCENT" -v wanted="${#PROFILES[@]}" '
        {
            change = ($3 / $2 - 1) * 100
            risen = $3 * 100 > $2 * (100 + max)
            verdict = risen ? "FAILED: more than " max " % above" : "ok"
            printf "%-18s %8d instructions, was %8d, %+.2f %%: %s\n", $1, $3, $2, change, verdict
            failed += risen
        }
        END {
            failed += wanted - NR
            if (NR != wanted) print wanted - NR " of the profiles are not in both files"
            printf "%d passed, %d failed\n", wanted - failed, failed
            exit failed > 0
        }'
}

main "$@"
