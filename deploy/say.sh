# shellcheck shell=bash
# Sourced by the scripts beside it: how they speak and how they refuse. `--help` is the comment that
# opens each script, so there is one text to keep true.

SCRIPT_NAME=${0##*/}

say() { printf '%s: %s\n' "$SCRIPT_NAME" "$*"; }

warn() { printf '%s: %s\n' "$SCRIPT_NAME" "$*" >&2; }

# The host refused: exit 1. The text names what to do.
die() {
    warn "$@"
    exit 1
}

# The caller asked for something that does not exist: exit 2.
misuse() {
    warn "$@"
    warn "see $0 --help"
    exit 2
}

# Prints the running script's opening comment: its lines from the second to the first without a `#`. A script that was
# called by another name, that of a link to it, has that name there.
show_help() {
    local file
    file=$(basename "$(readlink -f "$0")")
    if [[ $file == "$SCRIPT_NAME" ]]; then
        sed -n '2,/^[^#]/ { s/^# \{0,1\}//p }' "$0"
    else
        sed -n '2,/^[^#]/ { s/^# \{0,1\}//p }' "$0" | sed "s|\(deploy/\)\{0,1\}\(cluster/\)\{0,1\}\b${file//./\\.}|$SCRIPT_NAME|g"
    fi
}

need_root() {
    [[ $EUID -eq 0 ]] || die "needs root: run it again as root, for instance with sudo $0"
}

# need_number FLAG VALUE: refuses what is not a whole number of at most nine digits.
need_number() {
    [[ $2 =~ ^[0-9]{1,9}$ ]] || misuse "$1 wants a whole number, not '$2'"
}

# need_port FLAG VALUE: refuses what is not a TCP port.
need_port() {
    [[ $2 =~ ^[1-9][0-9]{0,4}$ && $2 -le 65535 ]] || misuse "$1 wants a TCP port from 1 to 65535, not '$2'"
}
