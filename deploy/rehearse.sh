#!/usr/bin/env bash
# deploy/rehearse.sh: binds, serves from and gives back the NICs of a virtual machine, as root.
#
#   rehearse.sh [--short] [MODEL...]
#   rehearse.sh --fetch     only fetch the packages and the kernel, for a rehearsal without a network
#
# MODEL is virtio-net, e1000e, vmxnet3 or vhost (default: all). Each machine boots Debian's kernel under QEMU's own
# emulation, without the processor's help, with a NIC of that model and one that stays the kernel's; their
# other ends are taps in a network namespace of this run, from which files are fetched. Inside, the commands
# of deploy/README.md, "Bare metal, step by step", are run as they stand there. The machine vhost has no NIC to
# bind: Pollux serves its kernel over the vhost link.
#
# --short is for CI: the page's commands run on the first MODEL alone, and on the others binds are killed 3 times, not 10.
#
# Prints "ok MODEL: what" or "FAILED MODEL: what" for each test and ends with "N passed, N failed"; status 1
# where one failed. The machine's console is kept as target/rehearsal/MODEL.console; of a failure its end is
# printed. REHEARSAL_SEED sets the moments of the kills (default: random, printed).
# POLLUX_BIN names a binary to put into the machine instead of building one; CARGO_TARGET_DIR is respected.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/say.sh
. "$here/say.sh"
# shellcheck source=deploy/process.sh
. "$here/process.sh"
# shellcheck source=deploy/prerequisites.sh
. "$here/prerequisites.sh"
# shellcheck source=deploy/rehearse/models.sh
. "$here/rehearse/models.sh"
# shellcheck source=deploy/rehearse/image.sh
. "$here/rehearse/image.sh"
# shellcheck source=deploy/rehearse/machine.sh
. "$here/rehearse/machine.sh"
# shellcheck source=deploy/rehearse/client.sh
. "$here/rehearse/client.sh"

CONSOLE_LINES=80
# Binds that are killed at random moments on each model.
KILLS=10
KILLS_SHORT=3

main() {
    local argument short='' fetch_only='' page=yes kills=$KILLS
    local -a models=()
    for argument in "$@"; do
        case $argument in
            -h | --help) show_help && exit ;;
            --fetch)
                [[ $# -eq 1 ]] || misuse "--fetch stands alone"
                fetch_only=yes
                ;;
            --short) short=yes ;;
            *)
                read_model "$argument" || misuse "'$argument' is no model: say $(model_names | paste -sd ' ')"
                models+=("$argument")
                ;;
        esac
    done
    [[ ${#models[@]} -gt 0 ]] || mapfile -t models < <(model_names)
    need_root
    check_debian
    provide_packages "${BUILD_PACKAGES[@]}" "${REHEARSAL_PACKAGES[@]}"
    work=${CARGO_TARGET_DIR:-$root/target}/rehearsal
    provide_kernel
    [[ -z $fetch_only ]] || exit 0
    provide_pollux dev
    begin
    make_image
    for model in "${models[@]}"; do
        rehearse "$model" "$page" "$kills"
        [[ -z $short ]] || page=no kills=$KILLS_SHORT
    done
    printf '%d passed, %d failed\n' "$passed" "$failed"
    [[ $failed -eq 0 && $passed -gt 0 ]]
}

begin() {
    scratch=$(mktemp -d "$work/run.XXXXXX")
    netns=rehearsal-$$
    machine=''
    passed=0
    failed=0
    trap leave EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
}

leave() {
    trap '' INT TERM HUP
    remove_machine
    rm -rf "$scratch"
}

# rehearse MODEL yes|no KILLS: one machine from boot to end, with or without the page's commands.
rehearse() {
    local failed_before=$failed began=$SECONDS seed=${REHEARSAL_SEED:-$RANDOM}
    model=$1
    console=$work/$model.console
    read_model "$model"
    say "$model: seed $seed, console in $console"
    make_link
    start_machine "rehearsal=$model seed=$seed page=$2 kills=$3"
    attend
    remove_machine
    if [[ $failed -gt $failed_before ]]; then
        say "$model: the last $CONSOLE_LINES lines of $console:"
        cat "$scratch/qemu"
        tail -n "$CONSOLE_LINES" "$console"
    fi
    say "$model: took $((SECONDS - began)) s"
}

passes() {
    printf 'ok %s: %s\n' "$model" "$1"
    passed=$((passed + 1))
}

fails() {
    printf 'FAILED %s: %s\n' "$model" "$1"
    failed=$((failed + 1))
}

main "$@"
