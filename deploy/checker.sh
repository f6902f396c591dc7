#!/usr/bin/env bash
# deploy/checker.sh: a load whose every response is compared, while databases, files and the site break and change.
#
#   checker.sh [SECONDS]      how long each of its tests runs (default 600; CI has 60 together)
#
# Runs the tests of control/tests/real/checker.rs, as root. A server may refuse while something is broken; it may
# never be wrong. CHECKER_SEED in the environment repeats the order of a run that failed. POLLUX_BIN names another
# binary to check than the one that is built along.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/say.sh
. "$here/say.sh"
# shellcheck source=deploy/prerequisites.sh
. "$here/prerequisites.sh"

# What a test takes besides, and the build.
MORE_SECONDS=600

main() {
    local seconds=600
    case ${1-} in
        -h | --help) show_help && exit ;;
        '') ;;
        *) seconds=$1 ;;
    esac
    [[ $# -le 1 ]] || misuse "'$2' is not understood"
    need_number SECONDS "$seconds"
    need_root
    provide_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}"
    provide_rust
    cd "$root"
    # Two tests, one after the other.
    CHECKER_SECONDS=$seconds timeout $((2 * seconds + MORE_SECONDS)) \
        cargo test --workspace --locked --test real -- checker:: --nocapture --test-threads 1
}

main "$@"
