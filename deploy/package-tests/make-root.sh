#!/usr/bin/env bash
# deploy/package-tests/make-root.sh: makes the root of Debian that package-tests.sh installs into, in a mount namespace of its own.
#
#   make-root.sh DIRECTORY PACKAGES SECONDS
#
# PACKAGES, separated by commas, are installed, and those that Pollux's package depends on. The directory is there
# when all has succeeded, and not before.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=deploy/say.sh
. "$here/say.sh"
# shellcheck source=deploy/prerequisites.sh
. "$here/prerequisites.sh"
# shellcheck source=deploy/debian-root.sh
. "$here/debian-root.sh"
# shellcheck source=deploy/package-tests/root.sh
. "$here/package-tests/root.sh"

main() {
    local -a wanted named libraries
    new=$1.new
    trap leave EXIT
    rm -rf "$new" "$1"
    provide_debian_root
    unpack_debian_root "$new"
    # What $auto stands for: the packages of the libraries that the binary links.
    mapfile -t libraries < <(ldd "$POLLUX_BIN" | grep -o '/[^ ]*' | xargs -n 1 readlink -f | xargs -n 1 dpkg -S 2>/dev/null | cut -d: -f1 | sort -u)
    mapfile -t named < <(declared_packages)
    mapfile -t wanted < <(tr , '\n' <<<"$2")
    mount -t proc proc "$new/proc"
    # A directory for temporary files is not in there.
    quietly timeout --kill-after 10 "$3" chroot "$new" env --unset TMPDIR DEBIAN_FRONTEND=noninteractive \
        apt-get -q --yes --no-install-recommends install "${wanted[@]}" "${named[@]}" "${libraries[@]}"
    chroot "$new" apt-get clean
    umount "$new/proc"
    # The machine that boots it has a name and an id of its own.
    rm -f "$new/etc/machine-id"
    mv "$new" "$1"
}

# What is mounted in there is not removed with it.
leave() {
    ! mountpoint -q "$new/proc" || umount "$new/proc"
    rm -rf --one-file-system "$new" "$new.said"
}

quietly() {
    "$@" >"$new.said" 2>&1 </dev/null || { tail -n 20 "$new.said" >&2 && die "$1 failed"; }
}

main "$@"
