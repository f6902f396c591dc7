#!/usr/bin/env bash
# deploy/test.sh: everything the tests need, then all of them. CI and laptop run this same script, as root.
#
#   test.sh
#
# Formatting, lints, the Rust tests (those of the real binary make links in namespaces of their own),
# the tests of the scripts, the rehearsal on a virtual machine's NICs, whether all tests together moved every counter, and one short round of the bench.
# A failing step does not stop the others; the end says which failed, then "N passed, N failed" over all tests. Links and hugepages are given back
# at the end, whatever happens.
# CARGO_TARGET_DIR is respected. POLLUX_HUGEPAGES is how many 2 MiB pages must be to be had (default 768).
# The tests of the real binary find it by POLLUX_BIN; without it the test-release profile is built.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/say.sh
. "$here/say.sh"
# shellcheck source=deploy/record.sh
. "$here/record.sh"
# shellcheck source=deploy/process.sh
. "$here/process.sh"
# shellcheck source=deploy/prerequisites.sh
. "$here/prerequisites.sh"

# What the largest test reserves.
HUGEPAGES=${POLLUX_HUGEPAGES:-768}
# The tests of the real binary reserve under this owner, holding the lock of this name.
TESTS=tests
# All steps together; CI ends a run after 90 minutes.
LIMIT_SECONDS=$((46 * 60))
STEPS_ENDED='all steps have ended'

main() {
    case ${1-} in
        -h | --help) show_help && exit ;;
        '') ;;
        *) misuse "'$1' is not understood" ;;
    esac
    need_root
    cd "$root"
    check_debian
    provide_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}" "${REHEARSAL_PACKAGES[@]}"
    provide_rust
    provide_components rustfmt clippy
    begin
    rehearse
    run_steps
    conclude
}

# From here on all that is said is kept in `transcript` as well.
begin() {
    transcript=$(mktemp)
    counters=$(mktemp -d)
    failed_steps=()
    command_pid=''
    links_before=$(list_links)
    trap leave EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    exec </dev/null > >(exec tee --ignore-interrupts "$transcript") 2>&1
}

# The tests reserve their hugepages themselves, one after the other. A lack of memory is to be known
# before minutes of building.
rehearse() {
    ./hugepages.sh reserve "$HUGEPAGES" --owner "test-$$"
    ./hugepages.sh release --owner "test-$$"
}

leave() {
    trap '' INT TERM HUP
    [[ -z $command_pid ]] || end_process "$command_pid" 30
    ./hugepages.sh release --owner "test-$$" || true
    if try_lock "$TESTS" 0; then give_back; fi
    rm -rf "$transcript" "$counters"
}

# What a test that was killed could not give back. Only while nobody else runs the tests.
give_back() {
    local name
    while read -r name; do
        deploy/link.sh down --netns "$name" || true
    done < <(comm -13 <(echo "$links_before") <(list_links))
    ./hugepages.sh release --owner "$TESTS" || true
}

# The namespaces link.sh has made a link in.
list_links() { find "$RECORDS" -name 'link-[!@]*' -printf '%f\n' 2>/dev/null | sed 's/^link-//' | sort; }

run_steps() {
    provide_pollux test-release
    export POLLUX_BIN=$binary
    step "formatting" cargo fmt --check
    step "shell scripts" shellcheck -x hugepages.sh .ci/run deploy/*.sh deploy/bench/*.sh \
        deploy/rehearse/*.sh deploy/rehearse/inside/*
    step "lints" cargo clippy --workspace --all-targets --locked -- -D warnings
    step "tests of the scripts" deploy/script-tests.sh
    step "rehearsal on NICs" deploy/rehearse.sh
    POLLUX_COUNTERS=$counters step "tests" cargo test --workspace --locked --no-fail-fast
    step "counters" deploy/counters.sh "$counters"
    step "instructions a request" deploy/bench/instructions.sh
    step "bench, one short round" deploy/bench.sh --quick
    say "$STEPS_ENDED"
}

# step NAME COMMAND...: runs it in what is left of the time.
step() {
    local name=$1 began=$SECONDS
    shift
    say "--- $name: $*"
    timeout --kill-after 30 $((LIMIT_SECONDS > SECONDS ? LIMIT_SECONDS - SECONDS : 1)) "$@" &
    command_pid=$!
    if wait "$command_pid"; then
        say "--- $name: done in $((SECONDS - began)) s"
    else
        say "--- $name: FAILED after $((SECONDS - began)) s"
        failed_steps+=("$name")
    fi
    command_pid=''
}

# The count is the last line, after all has been given back.
conclude() {
    local name count
    for name in "${failed_steps[@]+"${failed_steps[@]}"}"; do say "failed: $name"; done
    say "took $SECONDS s"
    # The last words may still be on their way to the transcript.
    await 5 $$ grep -q "$STEPS_ENDED" "$transcript" || warn "the transcript is cut short"
    count=$(count_tests)
    trap - EXIT
    leave
    printf '%s\n' "$count"
    [[ ${#failed_steps[@]} -eq 0 ]]
}

# Sums what cargo ("test result: ok. 5 passed; 0 failed; ..") and script-tests.sh ("5 passed, 0 failed")
# said. A step that failed without a failed test, as a lint does, counts as one.
count_tests() {
    awk -v steps="${#failed_steps[@]}" '
        /^test result: / { passed += $4; failed += $6 }
        /^[0-9]+ passed, [0-9]+ failed$/ { passed += $1; failed += $3 }
        END { printf "%d passed, %d failed\n", passed, (failed > steps ? failed : steps) }' "$transcript"
}

main "$@"
