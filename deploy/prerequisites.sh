# shellcheck shell=bash
# Sourced: what has to be on the machine before anything can be built, and how to get it. Installs only
# what is missing. Sets `root`, the work tree. Needs say.sh.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# What the build needs: DPDK with its drivers (libdpdk-dev depends on all of them), a C compiler for
# shim.c, libclang for bindgen; and what the scripts call.
# shellcheck disable=SC2034 # read by the scripts that source this file
BUILD_PACKAGES=(build-essential ca-certificates curl ethtool iproute2 libclang-dev libdpdk-dev pkg-config procps
    util-linux)
# What the tests call on top of that, what the test of a cluster does, what the rehearsal on NICs does, and what the bench does.
# shellcheck disable=SC2034
TEST_PACKAGES=(arping iputils-ping nftables nghttp2-client nginx openssh-server pgbouncer postgresql
    python3-prometheus-client shellcheck tmux valgrind wrk)
# shellcheck disable=SC2034
CLUSTER_PACKAGES=(frr iproute2 nftables wrk)
# shellcheck disable=SC2034
REHEARSAL_PACKAGES=(binutils busybox-static cpio curl diffutils ethtool iproute2 iputils-ping kmod qemu-system-x86
    tcpdump util-linux)
# What building the Debian package takes, and what its tests call: a root of Debian, a boot of it, another CPU.
# shellcheck disable=SC2034
DEB_PACKAGES=(binutils dpkg-dev)
# shellcheck disable=SC2034
DEB_TEST_PACKAGES=(curl debootstrap iproute2 lintian qemu-user-static systemd systemd-container util-linux)
# shellcheck disable=SC2034
BENCH_PACKAGES=(nginx postgresql python3-venv wrk)
# What the tests of the container need besides, and what is in its image: the drivers of deploy/README.md, "NICs and
# drivers", those of the links, and what its scripts call.
# shellcheck disable=SC2034
DOCKER_PACKAGES=(curl debootstrap docker-compose docker.io dpkg-dev iputils-ping nftables postgresql python3 wrk)
# shellcheck disable=SC2034
IMAGE_PACKAGES=(ethtool iproute2 librte-bus-auxiliary23 librte-bus-pci23 librte-bus-vdev23 librte-mempool-ring23
    librte-net-{af-packet,af-xdp,bnxt,e1000-,ena,i40e,iavf,ice,igc,ixgbe,memif,mlx4-,mlx5-,tap,virtio,vmxnet3-}23
    nftables procps)

RUSTUP_URL=https://static.rust-lang.org/rustup/rustup-init.sh
FETCH_SECONDS=600
SERVICE_POLICY=/usr/sbin/policy-rc.d
CLUSTER_POLICY=/etc/postgresql-common/createcluster.conf

# Goes on where apt can serve; DPDK's version is what differs between releases.
check_debian() {
    local ID='' VERSION_ID='' ID_LIKE='' PRETTY_NAME='an unknown system'
    # shellcheck source=/dev/null
    [[ ! -r /etc/os-release ]] || . /etc/os-release
    if [[ $ID == debian && $VERSION_ID == 12 ]]; then
        return
    elif [[ " $ID $ID_LIKE " == *" debian "* ]]; then
        warn "this is $PRETTY_NAME; Pollux is made on Debian 12 with its DPDK 22.11. Going on"
    else
        die "this is $PRETTY_NAME; the script installs packages of Debian 12 with apt." \
            "Run it on Debian 12, or in a container: docker run --privileged -it debian:12"
    fi
}

# provide_packages NAME...
provide_packages() {
    local package
    local -a missing=()
    for package in "$@"; do
        is_installed "$package" || missing+=("$package")
    done
    if [[ ${#missing[@]} -eq 0 ]]; then
        say "packages: all there"
        return
    fi
    say "packages: installing ${missing[*]}"
    apt_quietly update || warn "apt-get update failed, trying with the package lists at hand"
    install_without_services "${missing[@]}" ||
        die "could not install ${missing[*]}: see above; the machine needs a Debian mirror within reach"
}

# Debian starts a service as it installs it, and again at every boot; nobody asked for nginx on port 80,
# for a database or for sshd: the tests make servers of their own.
install_without_services() {
    local service
    (
        if [[ ! -e $SERVICE_POLICY ]]; then
            trap 'rm -f "$SERVICE_POLICY"' EXIT
            printf '#!/bin/sh\nexit 101\n' >"$SERVICE_POLICY"
            chmod +x "$SERVICE_POLICY"
        fi
        if [[ " $* " == *' postgresql '* && ! -e $CLUSTER_POLICY ]]; then
            mkdir -p "${CLUSTER_POLICY%/*}"
            printf 'create_main_cluster = false\n' >"$CLUSTER_POLICY"
        fi
        apt_quietly install --yes --no-install-recommends "$@"
    ) || return 1
    for service in frr nginx postgresql openssh-server:ssh docker.io:docker.socket docker.io:docker docker.io:containerd; do
        [[ " $* " != *" ${service%:*} "* ]] || systemctl disable --quiet "${service#*:}" 2>/dev/null || true
    done
}

is_installed() { [[ $(dpkg-query --show --showformat '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

# Says what apt said only when it failed.
apt_quietly() {
    local said
    said=$(DEBIAN_FRONTEND=noninteractive timeout "$FETCH_SECONDS" apt-get -q "$@" 2>&1 </dev/null) && return
    printf '%s\n' "$said" | tail -n 20 >&2
    return 1
}

# Puts on the PATH a cargo at least as new as the workspace's rust-version.
provide_rust() {
    local wanted
    wanted=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)
    [[ -n $wanted ]] || die "no rust-version in $root/Cargo.toml"
    PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
    if ! is_rust_new_enough "$wanted"; then
        say "Rust: fetching the stable toolchain, $wanted or newer is needed and here is $(rust_version)"
        fetch_rust
        is_rust_new_enough "$wanted" || die "cargo is still $(rust_version), needed is $wanted: run 'rustup update stable'"
    fi
    say "Rust: cargo $(rust_version)"
}

is_rust_new_enough() {
    local have
    have=$(rust_version)
    [[ $have != none && $(printf '%s\n' "$1" "$have" | sort --version-sort | head -n 1) == "$1" ]]
}

# "1.95.0", or "none".
rust_version() {
    local version
    version=$(cd "$root" && cargo --version 2>/dev/null) || version='cargo none'
    version=${version#cargo }
    printf '%s\n' "${version%% *}"
}

# Through the rustup that is here, without changing its default; otherwise a new one in ~/.cargo.
fetch_rust() {
    local hint="install Rust by hand from https://rustup.rs and run this again"
    if command -v rustup >/dev/null; then
        timeout "$FETCH_SECONDS" rustup toolchain install stable --profile minimal >&2 ||
            die "rustup could not fetch the stable toolchain: $hint"
        export RUSTUP_TOOLCHAIN=stable
        return
    fi
    local installer
    installer=$(curl --proto '=https' --tlsv1.2 --silent --show-error --fail --max-time 60 "$RUSTUP_URL") ||
        die "could not fetch $RUSTUP_URL: $hint"
    timeout "$FETCH_SECONDS" sh -s -- -y --quiet --no-modify-path --profile minimal <<<"$installer" >&2 ||
        die "rustup's installer failed: $hint"
    PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
}

# provide_components NAME...: clippy, rustfmt.
provide_components() {
    local component
    for component in "$@"; do
        (cd "$root" && cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1) && continue
        rustup component add "$component" >&2 ||
            die "cargo has no $component and rustup could not add it: install it and run this again"
    done
}

# provide_pollux PROFILE: sets `binary` to the server: $POLLUX_BIN where that is set, or else built now.
provide_pollux() {
    # Cargo's directory of the profile dev is called debug.
    binary=${POLLUX_BIN:-${CARGO_TARGET_DIR:-$root/target}/${1/dev/debug}/pollux}
    if [[ -n ${POLLUX_BIN:-} ]]; then
        [[ -x $binary ]] || die "POLLUX_BIN=$binary is not a program"
        return
    fi
    provide_rust
    say "building pollux (the first time takes some minutes)"
    (cd "$root" && cargo build --profile "$1" --locked -p control) || die "the build failed: see above"
}
