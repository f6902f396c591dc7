# shellcheck shell=bash
# Sourced by docker-tests.sh: the image debian:bookworm-slim, which no registry is asked for. Needs prerequisites.sh,
# debian-root.sh and `work`.
# shellcheck disable=SC2154 # that script and the other files it sources set them

# Of other lists and texts, and what a run that was killed left of one it was making.
remove_old_bases() {
    find "$work" -mindepth 1 -maxdepth 1 -name 'base-*.tar*' ! -path "$base" -delete
    find "$work" -mindepth 1 -maxdepth 1 -name 'base.??????' -mmin +60 -exec rm -rf --one-file-system {} +
}

# Sets `base`, a tar of a minimal Debian whose apt finds the image's packages in a directory of its own, since
# nothing can be fetched from the namespace of the tests. Made once for each list of packages and
# text of this file.
provide_base() {
    local key tree debs
    key=$(printf '%s\n' "${IMAGE_PACKAGES[@]}" | cat - "${BASH_SOURCE[0]}" | sha256sum | cut -c 1-16)
    base=$work/base-$key.tar
    [[ ! -s $base ]] || return 0
    say "making the base image"
    mkdir -p "$work"
    tree=$(mktemp -d "$work/base.XXXXXX")
    debs=$tree/srv/packages
    provide_debian_root
    unpack_debian_root "$tree"
    mkdir -p "$debs/partial"
    apt_quietly --yes --no-install-recommends --download-only -o Dir::State::status="$tree/var/lib/dpkg/status" \
        -o Dir::Cache::archives="$debs" -o APT::Sandbox::User=root install "${IMAGE_PACKAGES[@]}" || {
        rm -rf "$tree"
        die "the packages of the image could not be fetched: see above"
    }
    (cd "$debs" && rm -rf partial lock && dpkg-scanpackages --multiversion . >Packages 2>/dev/null)
    echo 'deb [trusted=yes] file:/srv/packages ./' >"$tree/etc/apt/sources.list"
    # As in debian:bookworm-slim: no documents, and no waiting for the disk.
    printf 'path-exclude /usr/share/%s/*\n' doc man info locale >"$tree/etc/dpkg/dpkg.cfg.d/docker"
    echo force-unsafe-io >>"$tree/etc/dpkg/dpkg.cfg.d/docker"
    rm -rf "$tree"/var/lib/apt/lists/* "$tree"/var/cache/apt/* "$tree"/usr/share/{doc,man,info,locale}/*
    tar --create --file "$base.new" --directory "$tree" --exclude './dev/*' .
    mv "$base.new" "$base"
    rm -rf "$tree"
    remove_old_bases
}
