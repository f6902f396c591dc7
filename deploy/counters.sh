#!/usr/bin/env bash
# deploy/counters.sh: whether the tests have moved every counter there is. Levels are no counters.
#
#   counters.sh DIR
#
# DIR is what POLLUX_COUNTERS named while the tests ran: each line of a file in it is "declared NAME",
# "moved NAME" or "level NAME". Ends with "N passed, N failed": a counter is one test.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/say.sh
. "$here/say.sh"

# As many as there were when this was written: fewer means that tests did not run.
DECLARED_MIN=114

main() {
    local declared moved name failed=0 count
    case ${1-} in
        -h | --help) show_help && exit ;;
        '') misuse "name the directory" ;;
    esac
    [[ -d $1 ]] || die "$1 is not a directory: run the tests with POLLUX_COUNTERS=$1"
    declared=$(comm -23 <(of_kind declared "$1") <(of_kind level "$1"))
    moved=$(of_kind moved "$1")
    count=$(wc -l <<<"$declared")
    [[ $count -ge $DECLARED_MIN ]] || die "$count counters are declared in $1, at least $DECLARED_MIN are known: did all tests run?"
    while read -r name; do
        warn "no test has moved $name"
        failed=$((failed + 1))
    done < <(comm -23 <(echo "$declared") <(echo "$moved") | grep . || true)
    echo "$((count - failed)) passed, $failed failed"
    [[ $failed -eq 0 ]]
}

# of_kind WORD DIR: the names behind WORD, sorted, each once.
of_kind() { find "$2" -type f -exec sed -n "s/^$1 //p" {} + | sort -u; }

main "$@"
