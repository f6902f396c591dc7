#!/usr/bin/env bash
# deploy/bench/start.sh: how long Pollux takes to read and compile a site of many small files.
#
#   start.sh [--files N] [--rounds N]
#
#   --files N    files of 1 to 8 kB: HTML, CSS, JavaScript, JSON, and what does not compress (default 50000)
#   --rounds N   how often (default 3)
#
# `pollux check` does what a start does before it takes the port: reads the files, codes them in gzip and br on all
# cores, and lays out the responses. Prints for each round the seconds that went by, and those that the cores worked:
# on a machine that is busy with something else only these tell.
# POLLUX_BIN names a binary to measure instead of building one.

set -euo pipefail
bench=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
here=$(dirname "$bench")
# shellcheck source=deploy/say.sh
. "$here/say.sh"
# shellcheck source=deploy/prerequisites.sh
. "$here/prerequisites.sh"

main() {
    local files=50000 rounds=3 round
    while [[ $# -gt 0 ]]; do
        case $1 in
            -h | --help) show_help && exit ;;
            --files | --rounds)
                [[ $# -ge 2 ]] || misuse "$1 wants a value"
                need_number "$1" "$2"
                [[ $2 -ge 1 ]] || misuse "$1 is at least 1"
                if [[ $1 == --files ]]; then files=$((10#$2)); else rounds=$((10#$2)); fi
                shift 2
                ;;
            *) misuse "'$1' is not understood" ;;
        esac
    done
    provide_packages "${BUILD_PACKAGES[@]}" python3
    provide_pollux release
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    say "making $files files"
    python3 "$bench/start.py" "$scratch/static" "$files"
    cat >"$scratch/pollux.toml" <<'SITE'
[[route]]
path = "/"
kind = "files"
directory = "static"
compress = "precomputed"
SITE
    printf '| round | elapsed s | user s | system s |\n|---:|---:|---:|---:|\n'
    for ((round = 1; round <= rounds; round++)); do
        measure "$round"
    done
}

# measure ROUND
measure() {
    local TIMEFORMAT="| $1 | %R | %U | %S |"
    { time "$binary" check --config "$scratch/pollux.toml" --data "$scratch" >"$scratch/said" 2>&1; } 2>&1 ||
        { cat "$scratch/said" >&2 && die "the site is refused: see above"; }
}

main "$@"
