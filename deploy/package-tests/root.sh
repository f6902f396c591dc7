# shellcheck shell=bash
# Sourced: the root of Debian that the package is installed into, and overlays of it. Needs say.sh, prerequisites.sh.
# shellcheck disable=SC2154 # set by package-tests.sh, which sources this file

INSTALL_SECONDS=600
# Beside the minimum: what boots, and what the tests call in there.
ROOT_PACKAGES=systemd,systemd-sysv,dbus,ca-certificates,curl
# How much of Debian's packages may change until the root is made anew.
ROOT_DAYS=30

# provide_base: sets `base`, a directory with Debian and all packages that ours depends on, but not ours.
provide_base() {
    local wanted
    base=$work/base
    export base
    wanted=$(root_recipe)
    if [[ $(cat "$base.recipe" 2>/dev/null) == "$wanted" && -n $(find "$base.recipe" -mtime "-$ROOT_DAYS") ]]; then
        return
    fi
    say "root: Debian and the packages that ours depends on"
    mkdir -p "$work"
    unshare --mount --propagation private "$here/package-tests/make-root.sh" "$base" "$ROOT_PACKAGES" \
        "$INSTALL_SECONDS" || die "the root could not be made: see above"
    printf '%s\n' "$wanted" >"$base.recipe"
}

# What the root is made from: where this changes, it is made anew.
root_recipe() {
    printf '%s\n' "$ROOT_PACKAGES"
    declared_packages
}

# The packages that ours names, but for those of $auto.
declared_packages() {
    sed -n '/^depends = \[/,/^\]/p' "$root/control/Cargo.toml" | grep -o '"[a-z][^"|]*' | tr -d '" ' | sort
}

# overlay LOWER UPPER TARGET: LOWER may name several directories.
overlay() {
    mkdir -p "$2/files" "$2/work" "$3"
    mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/files,workdir=$2/work" "$3"
}

# in_root TREE COMMAND...: a chroot with /proc, /sys and a /dev of its own, as few as dpkg and Pollux take.
in_root() {
    local tree=$1
    shift
    if ! mountpoint -q "$tree/proc"; then
        mount -t proc proc "$tree/proc"
        mount -t sysfs sys "$tree/sys"
        mount -t tmpfs none "$tree/run"
    fi
    env --ignore-environment PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
        chroot "$tree" "$@"
}

# install_once: the package into an overlay of the base, which the tests have below theirs. Its list of files before
# and after is kept.
install_once() {
    package=$(find "$scratch" -maxdepth 1 -name '*.deb')
    export package
    installed=$scratch/installed
    export installed
    overlay "$base" "$installed" "$scratch/tree"
    list_files "$scratch/tree" >"$scratch/before"
    cp "$package" "$scratch/tree/tmp/pollux.deb"
    in_root "$scratch/tree" apt-get -q --yes --no-install-recommends -o Dpkg::Use-Pty=0 install /tmp/pollux.deb >"$scratch/installation" 2>&1 ||
        { cat "$scratch/installation" && die "apt-get could not install the package with the packages of the root"; }
    rm "$scratch/tree/tmp/pollux.deb"
    unmount_below "$scratch/tree"
}

# with_root: sets `tree`, this test's own root with the package installed.
with_root() {
    tree=$scratch/test/tree
    overlay "$installed/files:$base" "$scratch/test" "$tree"
}

# What there is in a root, but for what dpkg and apt keep about themselves.
list_files() {
    (cd "$1" && find . -xdev \( -path ./proc -o -path ./sys -o -path ./run -o -path ./tmp -o -path ./var/lib/dpkg -o -path ./var/lib/apt \
        -o -path ./var/cache -o -path ./var/log -o -path ./dev \) -prune -o -print) | sort
}
