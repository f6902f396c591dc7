# shellcheck shell=bash
# Sourced in the virtual machine: the line to the outside. What it takes and gives is in machine.sh.

stty -F /dev/ttyS1 raw -echo
exec {LINE}<>/dev/ttyS1

tell() {
    printf '%s\n' "$*"
    printf '%s\n' "$*" >&"$LINE"
}
ok() { tell "ok $*"; }
failed() { tell "failed $*"; }
note() { tell "note $*"; }
END() { tell END; sleep 0.2; }

# ask ACTION ARGUMENT...: the outside does it; comes back when it is done.
ask() {
    local answer
    tell "do $*"
    IFS= read -r -u "$LINE" answer
    [[ $answer == done ]]
}
