# shellcheck shell=bash
# Sourced in the virtual machine: runs the commands of deploy/README.md, "Bare metal, step by step". Each block
# of that section is a file /rehearsal/page/NN-TITLE, as it stands on the page.
#
# What is not the page's: after its first block, which sets the variables PORT, ADDRESS, CORES and PAGES and
# nothing else, they get this machine's values. Before the block that stops the server, the outside fetches.
# shellcheck disable=SC2034,SC2154 # set or used by steps.sh and the files it sources

PAGE_PAGES=360
PAGE_CORES=1
BLOCK_SECONDS=90

run_page() {
    local block title variables
    local -a blocks=(/rehearsal/page/*)
    variables=$(grep -v '^[A-Z]*=[^ ]*$' "${blocks[0]}")
    if [[ -n $variables || $(sed 's/=.*//' "${blocks[0]}" | sort | tr '\n' ' ') != 'ADDRESS CORES PAGES PORT ' ]]; then
        failed 'page: the first block sets PORT, ADDRESS, CORES and PAGES'
        return
    fi
    for block in "${blocks[@]:1}"; do
        title=${block##*/}
        ! grep -q '^pollux stop' "$block" || ask fetch_sample "$POLLUX_ADDRESS"
        run_block "$block" "page: $title"
    done
}

# run_block FILE WHAT: one test: each of its commands succeeds. A server it starts in the background goes on.
run_block() {
    cat "$1"
    (
        set -e
        # shellcheck disable=SC2034 # the page's
        ADDRESS=$POLLUX_ADDRESS/24 CORES=$PAGE_CORES PAGES=$PAGE_PAGES
        # shellcheck source=/dev/null
        . "$1"
    ) &
    local shell=$!
    if await "$BLOCK_SECONDS" has_ended "$shell" && wait "$shell"; then ok "$2"; else failed "$2"; fi
}

has_ended() { ! kill -0 "$1" 2>/dev/null; }
