#!/usr/bin/env bash
# deploy/package-tests.sh: tests of the Debian package and of its units, as root.
#
#   package-tests.sh [WORD]   run the tests whose name contains WORD (default: all)
#   package-tests.sh --fetch  only fetch packages, cargo-deb and the root file system, for a run without a network
#
# The package is built from POLLUX_BIN, or from a debug build, which is then made. It is installed into a
# root of Debian 12 that debootstrap has made, which is kept below target/package for the next run with all the
# packages that it takes. Each test has that root for itself, as an overlay, in a mount and a network namespace of the
# run, so that nothing is seen outside. The tests boot_* boot it with systemd-nspawn.
# Ends with a line "N passed, N failed"; status 1 where one failed.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/say.sh
. "$here/say.sh"
# shellcheck source=deploy/process.sh
. "$here/process.sh"
# shellcheck source=deploy/mounts.sh
. "$here/mounts.sh"
# shellcheck source=deploy/prerequisites.sh
. "$here/prerequisites.sh"
# shellcheck source=deploy/expect.sh
. "$here/expect.sh"
# shellcheck source=deploy/package-tests/root.sh
. "$here/package-tests/root.sh"
# shellcheck source=deploy/package-tests/boot.sh
. "$here/package-tests/boot.sh"
# shellcheck source=deploy/package-tests/package.sh
. "$here/package-tests/package.sh"
# shellcheck source=deploy/package-tests/units.sh
. "$here/package-tests/units.sh"

TEST_SECONDS=100
SKIPPED=77
SUITE=$here/package-tests.sh

main() {
    case ${1-} in
        -h | --help) show_help && exit ;;
        --mounted) mounted "${2-}" ;;
        --inside) run_tests "${2-}" ;;
        --test) "test_$2" ;;
        *)
            need_root
            check_debian
            provide_packages "${BUILD_PACKAGES[@]}" "${DEB_PACKAGES[@]}" "${DEB_TEST_PACKAGES[@]}"
            work=${CARGO_TARGET_DIR:-$root/target}/package
            export work
            provide_pollux dev
            export POLLUX_BIN=$binary
            provide_base
            if [[ ${1-} == --fetch ]]; then
                "$here/deb.sh" --binary "$binary" --output "$work" && exit
            fi
            exec unshare --mount --propagation private "$SUITE" --mounted "$@"
            ;;
    esac
}

# In a mount namespace of this run: what is mounted here goes with it, also after kill -9.
mounted() {
    local run
    scratch=$(mktemp -d "$work/run.XXXXXX.$$")
    export scratch
    trap leave EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    sweep
    CARGO_TARGET_DIR=${work%/package} "$here/deb.sh" --binary "$POLLUX_BIN" --output "$scratch"
    install_once
    # Everything that takes a network of others is done.
    unshare --net "$SUITE" --inside "$1" &
    run=$!
    inside=$run
    wait "$run" || failed=yes
    inside=''
    [[ -z ${failed-} ]]
}

# What runs that were killed have left.
sweep() {
    local path
    while read -r path; do
        [[ -d /proc/${path##*.} ]] || rm -rf --one-file-system "$path"
    done < <(find "$work" -maxdepth 1 -type d -name 'run.*')
    while read -r path; do
        [[ -d /proc/${path##*-} ]] || rmdir_below "$path" || warn "$path stays"
    done < <(find /sys/fs/cgroup -maxdepth 2 -type d -name 'pollux-package-tests-*')
}

leave() {
    trap '' INT TERM HUP
    [[ -z ${inside-} ]] || end_process "$inside" 20
    unmount_below "$scratch"
    rm -rf --one-file-system "$scratch"
    remove_cgroups
}

# run_tests WORD: each test is a function test_*, run in a process of its own. What it leaves counts against it.
run_tests() {
    local name before after status passed=0 failed=0 began
    # What all scripts of the machine share about hugepages, for share_hugepages.
    mkdir -p /run/pollux/hugepages "$scratch/machine"
    touch /run/pollux/hugepages.lock
    mount --bind /run/pollux "$scratch/machine"
    empty /run
    mkdir -p /run/pollux
    ip link set lo up
    trap 'exit 143' TERM HUP
    for name in $(declare -F | sed -n "s/^declare -f test_//p" | grep -- "$1" || true); do
        began=$SECONDS
        before=$(footprint)
        status=0
        # Not --foreground: the whole group of the test ends with it.
        timeout --kill-after 10 "$TEST_SECONDS" "$SUITE" --test "$name" >"$scratch/said" 2>&1 </dev/null || status=$?
        unmount_below "$scratch/test"
        rm -rf "$scratch/test"
        after=$(footprint)
        if [[ $status -eq 0 && $before != "$after" ]]; then
            status=1
            diff <(printf '%s\n' "$before") <(printf '%s\n' "$after") >>"$scratch/said" || true
        fi
        case $status in
            0) printf 'ok      %s (%d s)\n' "$name" $((SECONDS - began)) && passed=$((passed + 1)) ;;
            "$SKIPPED") printf 'skipped %s: %s\n' "$name" "$(tail -n 1 "$scratch/said")" ;;
            *)
                printf 'FAILED  %s\n' "$name"
                sed 's/^/        /' "$scratch/said"
                failed=$((failed + 1))
                ;;
        esac
    done
    printf '%d passed, %d failed\n' "$passed" "$failed"
    [[ $failed -eq 0 && $passed -gt 0 ]]
}

# What a test must leave as it was.
footprint() {
    ip -brief link | awk '{ print "link", $1 }'
    awk '{ print "mount", $2, $3 }' /proc/mounts
    find /sys/fs/cgroup -type d -name 'pollux-package-tests-*'
}

skip() {
    printf '%s\n' "$*"
    exit "$SKIPPED"
}

# --- what the tests say ---

fail() {
    printf '%s\n' "$@"
    exit 1
}

# await_that SECONDS COMMAND...: repeats it until it succeeds.
await_that() { await "$1" $$ "${@:2}" || fail "not within $1 s: ${*:2}"; }

main "$@"
