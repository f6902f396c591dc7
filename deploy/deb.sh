#!/usr/bin/env bash
# deploy/deb.sh: builds the Debian package of Pollux.
#
#   deb.sh [--binary PATH] [--version VERSION] [--output DIR]
#
#   --binary PATH      package this program instead of building one (release profile)
#   --version VERSION  of the package (default: that of Cargo.toml, with the revision -1)
#   --output DIR       where it is put (default: target/debian)
#
# Prints the path of the package as its last line. What is in it is written in control/Cargo.toml,
# [package.metadata.deb]; cargo-deb is fetched with cargo where it is missing, into target/tools.
# CARGO_TARGET_DIR is respected.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/say.sh
. "$here/say.sh"
# shellcheck source=deploy/prerequisites.sh
. "$here/prerequisites.sh"

CARGO_DEB_VERSION=3.8.0
CARGO_DEB_SECONDS=900

main() {
    local given='' version='' output=''
    target=${CARGO_TARGET_DIR:-$root/target}
    while [[ $# -gt 0 ]]; do
        case $1 in
            -h | --help) show_help && exit ;;
            --binary | --version | --output)
                [[ $# -ge 2 ]] || misuse "$1 wants a value"
                case $1 in
                    --binary) given=$2 ;;
                    --version) version=$2 ;;
                    --output) output=$2 ;;
                esac
                shift 2
                ;;
            *) misuse "'$1' is not understood" ;;
        esac
    done
    [[ -z $version || $version =~ ^[0-9][A-Za-z0-9.+~]*-[A-Za-z0-9.+~]+$ ]] ||
        misuse "--version wants one with a revision, such as 1.2.3-1, not '$version'"
    output=${output:-$target/debian}
    need_root
    check_debian
    provide_packages "${BUILD_PACKAGES[@]}" "${DEB_PACKAGES[@]}"
    [[ -z $given ]] || export POLLUX_BIN=$given
    provide_pollux release
    provide_rust
    provide_cargo_deb
    package "$version" "$output"
}

provide_cargo_deb() {
    cargo_deb=$target/tools/bin/cargo-deb
    [[ $("$cargo_deb" --version 2>/dev/null) != *"$CARGO_DEB_VERSION"* ]] || return 0
    say "cargo-deb: fetching $CARGO_DEB_VERSION (some minutes)"
    timeout "$CARGO_DEB_SECONDS" cargo install cargo-deb --version "$CARGO_DEB_VERSION" --locked --debug --quiet --root "$target/tools" >&2 ||
        die "cargo could not install cargo-deb $CARGO_DEB_VERSION: see above"
}

# package VERSION OUTPUT: what cargo-deb looks for below target/release is made in a directory of this run.
package() {
    local stage made
    stage=$(mktemp -d)
    # shellcheck disable=SC2064 # this run's
    trap "rm -rf '$stage'" EXIT
    made=$stage/release/package
    mkdir -p "$made" "$2"
    version=${1:-$(sed -n 's/^version *= *"\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)-1}
    strip --strip-unneeded --remove-section=.comment -o "$stage/release/pollux" "$binary"
    "$binary" man "$made/man"
    "$binary" completions bash >"$made/pollux"
    "$binary" completions zsh >"$made/_pollux"
    "$binary" completions fish >"$made/pollux.fish"
    ln -s ../share/pollux/hugepages.sh "$made/pollux-hugepages"
    ln -s ../share/pollux/deploy/link.sh "$made/pollux-link"
    ln -s ../share/pollux/deploy/upgrade.sh "$made/pollux-upgrade"
    ln -s ../share/pollux/deploy/cluster/announce.sh "$made/pollux-announce"
    gzip --best --no-name "$made"/man/*
    gzip --best --no-name --stdout "$root/CHANGELOG.md" >"$made/changelog.gz"
    write_changelog | gzip --best --no-name >"$made/changelog.Debian.gz"
    (cd "$root" && CARGO_TARGET_DIR=$stage "$cargo_deb" --quiet --package control --no-build --no-strip --no-dbgsym \
        --deb-version "$version" --output "$2/" -- --offline) || die "cargo-deb could not build the package: see above"
    printf '%s\n' "$2/pollux_${version}_$(dpkg --print-architecture).deb"
}

# Debian's changelog is about packages; what changed in Pollux is in CHANGELOG.md. Its date is that of the last commit.
write_changelog() {
    local maintainer date
    maintainer=$(sed -n 's/^maintainer *= *"\(.*\)"/\1/p' "$root/control/Cargo.toml")
    date=$(git -C "$root" log -1 --format=%cD 2>/dev/null) || date=$(date --rfc-email --reference "$root/CHANGELOG.md")
    printf 'pollux (%s) unstable; urgency=medium\n\n  * This version of Pollux; what changed is in CHANGELOG.md.\n\n -- %s  %s\n' \
        "$version" "$maintainer" "$date"
}

main "$@"
