# shellcheck shell=bash
# Sourced by the tests of scripts: what they expect, and what they print where it is not so.

equal() { [[ $1 == "$2" ]] || { printf 'got %s, expected %s\n' "$1" "$2" && return 1; }; }

# expect_says TEXT COMMAND...: it succeeds, and prints TEXT.
expect_says() {
    local said
    said=$("${@:2}" 2>&1) || { printf '%s\nfailed: %s\n' "$said" "${*:2}" && return 1; }
    [[ $said == *"$1"* ]] || { printf '%s\nlacks: %s\n' "$said" "$1" && return 1; }
}

# expect_fails STATUS TEXT COMMAND...
expect_fails() {
    local said status=0
    said=$("${@:3}" 2>&1) || status=$?
    equal "$status" "$1" || { printf '%s\nfrom: %s\n' "$said" "${*:3}" && return 1; }
    [[ $said == *"$2"* ]] || { printf '%s\nlacks: %s\n' "$said" "$2" && return 1; }
}
