# shellcheck shell=bash
# Sourced in the virtual machine: the line to the outside, and tests by command. What the line carries is
# described in machine.sh.

stty -F /dev/ttyS1 raw -echo
exec {LINE}<>/dev/ttyS1

say_line() {
    printf '%s\n' "$*"
    printf '%s\n' "$*" >&"$LINE"
}

ok() { say_line "ok $*"; }

failed() { say_line "failed $*"; }

note() { say_line "note $*"; }

# ask ACTION ARGUMENT...: the outside does it, and counts its own tests; returns when it is done.
ask() {
    local answer
    say_line "do $*"
    IFS= read -r -u "$LINE" answer
    [[ $answer == "done" ]]
}

# check WHAT COMMAND...: one test, passed where COMMAND succeeds.
check() {
    printf '+ %s\n' "${*:2}"
    if "${@:2}"; then ok "$1"; else failed "$1"; fi
}

# check_fails WHAT TEXT COMMAND...: one test, passed where COMMAND fails and what it prints contains TEXT.
check_fails() {
    local output status=0
    printf '+ %s\n' "${*:3}"
    output=$("${@:3}" 2>&1) || status=$?
    printf '%s\nstatus %d\n' "$output" "$status"
    if [[ $status -ne 0 && $output == *"$2"* ]]; then ok "$1"; else failed "$1 (status $status)"; fi
}

# await SECONDS COMMAND...: repeats COMMAND until it succeeds; status 1 where it has not in that time.
await() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [[ $SECONDS -lt $deadline ]] || return 1
        sleep 0.1
    done
}

# setting NAME: the value of NAME=VALUE on the kernel's command line.
setting() { tr ' ' '\n' </proc/cmdline | sed -n "s/^$1=//p"; }
