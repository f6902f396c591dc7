# shellcheck shell=bash
# Sourced: a minimal Debian, for what is tested on a machine that has nothing else. Needs say.sh and
# prerequisites.sh.

# provide_debian_root: sets `debian_root`, a tar of Debian 12 as debootstrap leaves it, kept for the next run.
provide_debian_root() {
    local tree mirror
    debian_root=${CARGO_TARGET_DIR:-$root/target}/debian-root/bookworm.tar
    if [[ -n $(find "$debian_root" -mtime "-$DEBIAN_ROOT_DAYS" 2>/dev/null) ]]; then return; fi
    say "debootstrap of Debian 12 (a minute or two)"
    mkdir -p "${debian_root%/*}"
    tree=$(mktemp -d "${debian_root%/*}/tree.XXXXXX")
    mirror=$(debian_mirror)
    if ! timeout --kill-after 10 "$FETCH_SECONDS" debootstrap --variant=minbase bookworm "$tree" ${mirror:+"$mirror"} \
        >"$tree.log" 2>&1 </dev/null; then
        tail -n 20 "$tree.log" >&2
        rm -rf "$tree" "$tree.log"
        die "debootstrap failed: see above"
    fi
    tar --create --numeric-owner --xattrs --file "$debian_root.new" --directory "$tree" .
    mv "$debian_root.new" "$debian_root"
    rm -rf "$tree" "$tree.log"
}

# How much of Debian's packages may change until it is made anew.
DEBIAN_ROOT_DAYS=30

# The one that this machine installs from; nothing where apt does not say, which leaves it to debootstrap.
debian_mirror() {
    # shellcheck disable=SC2016 # apt's own format
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Codename: bookworm' | head -n 1
}

# unpack_debian_root DIRECTORY: the minimal Debian, in a directory that is made.
unpack_debian_root() {
    mkdir -p "$1"
    tar --extract --numeric-owner --xattrs --file "$debian_root" --directory "$1"
}
