#!/usr/bin/env bash
# deploy/test.sh: everything the tests need, then all of them. CI and laptop run this same script, as root.
#
#   test.sh               all steps
#   test.sh --only STEP   one of them, with its output as it comes
#
# STEP is one of:
#   formatting     cargo fmt
#   shell-scripts  shellcheck
#   build          the binary and all tests
#   lints          clippy
#   shipped        the binary compiles without the features of crates that only tests ask for
#   scripts        the tests of the scripts
#   machine-tests  the Rust tests that make links in namespaces of their own, take hugepages or start servers
#   library-tests  all other Rust tests
#   counters       whether the Rust tests together moved every counter (not without both)
#   instructions   instructions a request, counted
#   rehearsal      NICs are bound and served from in virtual machines
#   package        the Debian package and its units, in a root of Debian and a boot of it
#   container      the image, under a dockerd of the tests' own
#   bench          one short round of the bench
#
# Two rows of steps run side by side, each step's output is shown when it has ended. A failing step does
# not stop the others; the end says which failed, then "N passed, N failed" over all tests. Links and
# hugepages are given back at the end, whatever happens.
# CARGO_TARGET_DIR is respected. POLLUX_HUGEPAGES is how many 2 MiB pages must be to be had (default 1536:
# two tests at a time). POLLUX_BIN names another binary for the tests of the real one.

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

# What the two largest tests reserve.
HUGEPAGES=${POLLUX_HUGEPAGES:-1536}
# In memory: half of the kernel's time in the unit tests went into the files of their databases.
TEMPORARY=/dev/shm
# The tests of the real binary reserve under these owners, holding this lock.
TESTS_LOCK=tests
TESTS_OWNERS=(tests-0 tests-1)
# Steps before everything, side by side, and after everything. What counts the machine's hugepages is in one row.
FIRST=(formatting shell-scripts build)
LEFT=(scripts machine-tests container)
RIGHT=(lints shipped instructions package rehearsal library-tests)
LAST=(counters bench)
# The Rust tests by target: each is in one of the two (a tidy test compares them with what there is).
MACHINE_TESTS=(--bin pollux --test cli --test real --test ports)
LIBRARY_TESTS=(--lib --test tidy --test site --test protocol --test scenarios --test threads)
# All steps together; CI ends a run after 90 minutes.
LIMIT_SECONDS=$((46 * 60))
STEPS_ENDED='all steps have ended'

main() {
    local only=''
    case ${1-} in
        -h | --help) show_help && exit ;;
        --only)
            [[ $# -eq 2 ]] || misuse "--only wants one step"
            only=$2
            [[ " ${FIRST[*]} ${LEFT[*]} ${RIGHT[*]} ${LAST[*]} " == *" $only "* ]] || misuse "there is no step '$only'"
            ;;
        '') ;;
        *) misuse "'$1' is not understood" ;;
    esac
    need_root
    cd "$root"
    check_debian
    provide_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}" "${CLUSTER_PACKAGES[@]}" "${REHEARSAL_PACKAGES[@]}" \
        "${DEB_PACKAGES[@]}" "${DEB_TEST_PACKAGES[@]}" "${DOCKER_PACKAGES[@]}"
    provide_rust
    provide_components rustfmt clippy
    begin
    rehearse
    if [[ -n $only ]]; then
        start_row stream "$only"
        await_rows
    else
        run_all
    fi
    say "$STEPS_ENDED"
    conclude
}

# From here on all that is said is kept in `transcript` as well.
begin() {
    sweep
    scratch=$(mktemp -d "$TEMPORARY/pollux-test.XXXXXX.$$")
    # Servers that are not root have directories below.
    chmod 711 "$scratch"
    mkdir -m 1777 "$scratch/tmp"
    export TMPDIR=$scratch/tmp
    transcript=$scratch/transcript
    counters=$scratch/counters
    mkdir "$counters" "$scratch/failed"
    rows=()
    links_before=$(list_links)
    trap leave EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    exec </dev/null > >(exec tee --ignore-interrupts "$transcript") 2>&1
}

# What runs that were killed have left in memory; a directory has its run's process id in its name.
sweep() {
    local path
    while read -r path; do
        [[ -d /proc/${path##*.} ]] || rm -rf --one-file-system "$path"
    done < <(find "$TEMPORARY" -maxdepth 1 -type d -name 'pollux-test.*')
}

# The tests reserve their hugepages themselves, one after the other. A lack of memory is to be known
# before minutes of building.
rehearse() {
    ./hugepages.sh reserve "$HUGEPAGES" --owner "test-$$"
    ./hugepages.sh release --owner "test-$$"
}

leave() {
    local pid
    trap '' INT TERM HUP
    for pid in "${rows[@]+"${rows[@]}"}"; do end_process "$pid" 40; done
    ./hugepages.sh release --owner "test-$$" || true
    if try_lock "$TESTS_LOCK" 0; then give_back; fi
    rm -rf "$scratch"
}

# What a test that was killed could not give back. Only while nobody else runs the tests.
give_back() {
    local name
    while read -r name; do
        deploy/link.sh down --netns "$name" || true
    done < <(comm -13 <(echo "$links_before") <(list_links))
    for name in "${TESTS_OWNERS[@]}"; do ./hugepages.sh release --owner "$name" || true; done
}

# The namespaces link.sh has made a link in.
list_links() {
    [[ -d $RECORDS ]] || return 0 # No link was ever made here.
    find "$RECORDS" -name 'link-[!@]*' -printf '%f\n' | sed 's/^link-//' | sort
}

run_all() {
    start_row stream "${FIRST[@]}"
    await_rows
    # Without the binary there is nothing to test.
    [[ ! -e $scratch/failed/build ]] || return 0
    export POLLUX_BIN=${POLLUX_BIN:-${CARGO_TARGET_DIR:-$root/target}/debug/pollux}
    start_row gather "${LEFT[@]}"
    start_row gather "${RIGHT[@]}"
    await_rows
    start_row stream "${LAST[@]}"
    await_rows
}

start_row() {
    run_row "$@" &
    rows+=($!)
}

await_rows() {
    wait "${rows[@]}"
    rows=()
}

command_of() {
    local -a cargo_test=(env "POLLUX_COUNTERS=$counters" cargo test --workspace --locked --no-fail-fast)
    case $1 in
        formatting) command=(cargo fmt --check) ;;
        shell-scripts)
            command=(shellcheck -x hugepages.sh .ci/run deploy/*.sh deploy/*/*.sh deploy/docker/tests/*.sh
                deploy/debian/p* deploy/rehearse/inside/*)
            ;;
        build) command=(cargo test --workspace --locked --no-run) ;;
        lints) command=(cargo clippy --workspace --all-targets --locked -- -D warnings) ;;
        shipped) command=(cargo check --locked --package control) ;;
        scripts) command=(deploy/script-tests.sh) ;;
        machine-tests) command=("${cargo_test[@]}" "${MACHINE_TESTS[@]}") ;;
        library-tests) command=("${cargo_test[@]}" "${LIBRARY_TESTS[@]}") ;;
        counters) command=(deploy/counters.sh "$counters") ;;
        instructions) command=(deploy/bench/instructions.sh) ;;
        rehearsal) command=(deploy/rehearse.sh --short) ;;
        package) command=(deploy/package-tests.sh) ;;
        container) command=(deploy/docker-tests.sh) ;;
        bench) command=(deploy/bench.sh --quick) ;;
    esac
}

# run_row stream|gather STEP...: one after the other, in what is left of the time.
run_row() {
    local how=$1 shell=$BASHPID name began cpu_before left output command_pid='' ended
    local -a command
    shift
    trap - EXIT
    trap '[[ -z $command_pid ]] || end_process "$command_pid" 30; exit 143' INT TERM HUP
    for name in "$@"; do
        command_of "$name"
        began=$SECONDS
        cpu_before=$(children_seconds "$shell")
        left=$((LIMIT_SECONDS > SECONDS ? LIMIT_SECONDS - SECONDS : 1))
        output=/dev/fd/1
        [[ $how == stream ]] || output=$scratch/$name.output
        show say "--- $name: ${command[*]}"
        timeout --kill-after 30 "$left" "${command[@]}" >"$output" 2>&1 &
        command_pid=$!
        if wait "$command_pid"; then
            ended='done'
        else
            ended=FAILED
            : >"$scratch/failed/$name"
        fi
        command_pid=''
        [[ $how == stream ]] || show cat "$output"
        show say "--- $name: $ended after $((SECONDS - began)) s, $(($(children_seconds "$shell") - cpu_before)) s of CPU time"
    done
}

# children_seconds PID: CPU time of what that shell has run and waited for (cutime and cstime of proc_pid_stat(5)).
children_seconds() {
    local -a stat
    read -r -a stat <"/proc/$1/stat"
    echo $(((stat[15] + stat[16]) / $(getconf CLK_TCK)))
}

# show COMMAND...: what it prints stays in one piece.
show() (
    exec 9<"$scratch"
    flock 9
    "$@"
)

# The count is the last line, after all has been given back.
conclude() {
    local count failed_steps
    failed_steps=$(find "$scratch/failed" -type f -printf '%f\n' | sort)
    # The last words may still be on their way to the transcript.
    await 5 $$ grep -q "$STEPS_ENDED" "$transcript" || warn "the transcript is cut short"
    if [[ -n $failed_steps ]]; then
        say "failed: ${failed_steps//$'\n'/, }; once more, why:"
        show_failures
    fi
    say "took $SECONDS s"
    count=$(count_tests)
    trap - EXIT
    leave
    printf '%s\n' "$count"
    [[ -z $failed_steps ]]
}

# The words of panics, of failed script tests and of the compiler, again: a log may show only its end. From a copy: what is
# printed here is added to the transcript.
show_failures() {
    cp "$transcript" "$scratch/until-here"
    awk '
        / panicked at |^FAILED  |^error/ { left = 25 }
        /^stack backtrace:|^--- |^test\.sh: |^test |^running |^[0-9]+ passed/ { left = 0 }
        left-- > 0 { print substr($0, 1, 400); if (++shown == 300) exit }' "$scratch/until-here"
}

# Sums what cargo ("test result: ok. 5 passed; 0 failed; ..") and script-tests.sh ("5 passed, 0 failed")
# said. A step that failed without a failed test, as a lint does, counts as one.
count_tests() {
    awk -v steps="$(wc -w <<<"$failed_steps")" '
        /^test result: / { passed += $4; failed += $6 }
        /^[0-9]+ passed, [0-9]+ failed$/ { passed += $1; failed += $3 }
        END { printf "%d passed, %d failed\n", passed, (failed > steps ? failed : steps) }' "$transcript"
}

main "$@"
