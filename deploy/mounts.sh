# shellcheck shell=bash
# Sourced by suites that run in a mount namespace of their own (`unshare --mount --propagation private`).

# unmount_below DIRECTORY: what is mounted on it and below it. Mounts that another process takes away meanwhile are gone too.
unmount_below() {
    local path
    while read -r path; do
        umount --lazy "$path" 2>/dev/null || ! mountpoint -q "$path" || warn "$path stays mounted"
    done < <(awk -v below="$1" '$2 == below || index($2, below "/") == 1 { print $2 }' /proc/mounts | sort -r)
}

# empty DIRECTORY: an empty file system in its place. A namespace begins with a copy of the machine's mounts, those below
# /run/netns among them; such a copy goes with its original, whenever the process that made that removes it.
empty() {
    unmount_below "$1"
    mkdir -p "$1"
    mount -t tmpfs none "$1"
}
