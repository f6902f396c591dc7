#!/usr/bin/env bash
# deploy/docker-tests.sh: tests of the container: its image, its first process, docker-run.sh, as root.
#
#   docker-tests.sh [WORD]   run the tests whose name contains WORD (default: all)
#
# The image is built from deploy/Dockerfile, with the binary POLLUX_BIN or a debug build, which is
# then built. No registry is asked: debian:bookworm-slim is made by debootstrap, once, and kept below target/docker.
# A dockerd of the tests' own runs in a network, mount and PID namespace of theirs, which is the host of these tests;
# its data are in a temporary directory. The kernel removes all of that when this script is killed, and a process that
# watches for it the rest: directory, cgroups, hugepages. Where this machine lacks a capability, --privileged is
# refused by its kernel: the containers are then given everything but that one, which is said.
# Hugepages belong to the whole machine: the tests hold the lock under which other tests take theirs.
# Ends with a line "N passed, N failed"; status 1 where one failed.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/say.sh
. "$here/say.sh"
# shellcheck source=deploy/expect.sh
. "$here/expect.sh"
# shellcheck source=deploy/record.sh
. "$here/record.sh"
# shellcheck source=deploy/process.sh
. "$here/process.sh"
# shellcheck source=deploy/mounts.sh
. "$here/mounts.sh"
# shellcheck source=deploy/prerequisites.sh
. "$here/prerequisites.sh"
# shellcheck source=deploy/debian-root.sh
. "$here/debian-root.sh"
# shellcheck source=deploy/docker/tests/base.sh
. "$here/docker/tests/base.sh"
# shellcheck source=deploy/docker/tests/host.sh
. "$here/docker/tests/host.sh"
# shellcheck source=deploy/docker/tests/cases.sh
. "$here/docker/tests/cases.sh"
# shellcheck source=deploy/docker/tests/killed.sh
. "$here/docker/tests/killed.sh"

# Whatever else is called docker on this machine: Debian's is tested.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH
work=${CARGO_TARGET_DIR:-$root/target}/docker
TEST_SECONDS=90

main() {
    case ${1-} in
        -h | --help) show_help && exit ;;
        --alone)
            empty /run/netns
            run_all "${2-}"
            ;;
        --sweep) sweep "$2" ;;
        --inside) inside "$2" ;;
        --test)
            choose_rights >/dev/null
            "test_$2"
            ;;
        --start)
            begin
            start_host "$2"
            ;;
        -*) misuse "'$1' is not understood" ;;
        *)
            need_root
            provide_packages "${DOCKER_PACKAGES[@]}"
            provide_pollux dev
            export POLLUX_BIN=$binary
            provide_base
            export base
            exec unshare --mount --net --propagation private "$0" --alone "$@"
            ;;
    esac
}

run_all() {
    local passed=0 failed=0
    begin
    start_host "$1" || true
    [[ -s $scratch/count ]] || die "the tests ended early: see above"
    read -r passed failed <"$scratch/count"
    run_killed "$1"
    end
    printf '%d passed, %d failed\n' "$passed" "$failed"
    [[ $failed -eq 0 && $passed -gt 0 ]]
}

main "$@"
