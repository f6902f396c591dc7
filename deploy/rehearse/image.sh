# shellcheck shell=bash
# Sourced: the kernel of the virtual machine and what it boots into. Needs say.sh and prerequisites.sh.
# shellcheck disable=SC2154 # set by rehearse.sh, which sources this file

DOWNLOAD_SECONDS=300
PMDS=/usr/lib/x86_64-linux-gnu/dpdk/pmds-23.0
# DPDK's plugins the machine loads, by their names without "librte_": buses, the memory pool's ring, the NICs.
PMD_NAMES=(bus_pci bus_vdev mempool_ring net_virtio net_e1000 net_vmxnet3 net_tap net_af_packet)
# Kernel modules, with all that they depend on. init loads what makes a NIC appear; the rest is modprobed
# by whoever needs it.
MODULES=(virtio_pci virtio_net e1000e vmxnet3 vfio-pci vfio_iommu_type1 vhost_net tun af_packet bonding)
# Programs beside busybox's: what hugepages.sh and pollux call, as Debian has them.
PROGRAMS=(bash curl ip ethtool modprobe flock mountpoint)
FILE_SIZES=(2 100 1459 1460 1461 4096 65535 65536 1048576 10485760)

# provide_kernel: sets `kernel` to a directory with boot/vmlinuz-* and lib/modules of Debian's newest kernel.
# It is unpacked, not installed, and kept for the next run.
provide_kernel() {
    local package
    package=$(kernel_package)
    if [[ -z $package ]]; then
        apt_quietly update || true
        package=$(kernel_package)
        [[ -n $package ]] || die "apt knows no linux-image-amd64: the machine needs a Debian mirror within reach"
    fi
    kernel=$work/kernel/$package
    [[ ! -e $kernel/complete ]] || return 0
    rm -rf "$work/kernel"
    mkdir -p "$kernel"
    say "kernel: fetching $package"
    fetch_kernel "$package" || die "could not fetch $package with apt-get download: see above"
    touch "$kernel/complete"
}

# "linux-image-6.1.0-56-amd64": what the package linux-image-amd64 stands for today.
kernel_package() { apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1; }

# A package list of yesterday names files the mirror may have no longer: once more with today's.
fetch_kernel() {
    local -a fetch=(timeout "$DOWNLOAD_SECONDS" apt-get -q -o APT::Sandbox::User=root download "$1")
    (
        cd "$kernel" || exit 1
        "${fetch[@]}" >/dev/null || { apt_quietly update && "${fetch[@]}" >&2; } || exit 1
        dpkg -x ./*.deb . && rm -f ./*.deb
        depmod --basedir . "$(ls lib/modules)"
    )
}

# make_image: writes `image`, an initramfs of busybox, the programs, kernel modules, Pollux with the drivers
# of DPDK, the scripts, the commands of the page and the files to serve, which are left in `served`.
make_image() {
    local tree=$scratch/tree
    served=$tree/srv/www
    image=$scratch/initramfs
    mkdir -p "$tree"/{dev,proc,sys,run,tmp,etc/sysctl.d,var/lib,root,rehearsal,usr/bin,usr/lib,usr/lib64} "$served"
    ln -s usr/bin usr/lib usr/lib64 "$tree/"
    ln -s usr/bin "$tree/sbin"
    ln -s bin "$tree/usr/sbin"
    put_programs "$tree"
    put_pollux "$tree"
    put_modules "$tree"
    put_scripts "$tree"
    put_files
    (cd "$tree" && find . | cpio --quiet --create --format newc) >"$image" || die "could not write $image"
}

put_programs() {
    local program
    cp "$(command -v busybox)" "$1/bin/busybox"
    for program in $(busybox --list); do
        [[ $program == busybox ]] || ln -s busybox "$1/bin/$program"
    done
    for program in "${PROGRAMS[@]}"; do
        rm -f "$1/bin/$program"
        cp -L "$(command -v "$program")" "$1/bin/$program"
        put_libraries "$1" "$(command -v "$program")"
    done
}

put_pollux() {
    local name plugin
    strip --strip-debug -o "$1/bin/pollux" "$binary"
    put_libraries "$1" "$binary"
    mkdir -p "$1$PMDS"
    for name in "${PMD_NAMES[@]}"; do
        plugin=$PMDS/librte_$name.so.23.0
        cp "$plugin" "$1$PMDS/"
        put_libraries "$1" "$plugin"
    done
}

# put_libraries TREE FILE: what it links, where the loader looks. A plugin that another one links is not put
# beside the others a second time: DPDK would find it twice and refuse its own memory zones.
put_libraries() {
    local path
    while read -r path; do
        case $path in
            */librte_bus_* | */librte_net_*) ln -sf "$PMDS/${path##*/}.0" "$1/lib/x86_64-linux-gnu/${path##*/}" ;;
            *) mkdir -p "$1${path%/*}" && cp -nL "$path" "$1$path" ;;
        esac
    done < <(ldd "$2" | grep -o '/[^ ]*')
}

put_modules() {
    local version module path
    version=$(ls "$kernel/lib/modules")
    for module in "${MODULES[@]}"; do
        while read -r path; do
            path=lib/modules/$version/${path#*"/lib/modules/$version/"}
            mkdir -p "$1/${path%/*}"
            cp -n "$kernel/$path" "$1/$path"
        done < <(modprobe --dirname "$kernel" --set-version "$version" --show-depends "$module" | sed -n 's/^insmod \([^ ]*\).*/\1/p')
    done
    cp "$kernel/lib/modules/$version"/modules.{builtin,builtin.modinfo,order} "$1/lib/modules/$version/"
    depmod --basedir "$1" "$version"
}

put_scripts() {
    mkdir -p "$1/opt/pollux"
    cp "$root/hugepages.sh" "$1/opt/pollux/"
    mkdir -p "$1/opt/pollux/deploy"
    cp "$root"/deploy/*.sh "$root"/deploy/*.toml "$1/opt/pollux/deploy/"
    cp "$root"/deploy/rehearse/inside/* "$1/rehearsal/"
    ln -s rehearsal/init "$1/init"
    mkdir "$1/rehearsal/page"
    put_page "$1/rehearsal/page"
}

# put_page DIRECTORY: each block of commands of the page's section is a file, named by number and step.
put_page() {
    awk -v directory="$1" '
        /^## / { section = $0 == "## Bare metal, step by step" }
        !section { next }
        /^\*\*[0-9]+\. / { title = $0; sub(/^\*\*[0-9]+\. /, "", title); sub(/[.*,].*/, "", title); gsub(/ /, "-", title) }
        /^```/ {
            if (file != "") { close(file); file = "" }
            else if ($0 == "```sh") { file = sprintf("%s/%02d-%s", directory, count++, title == "" ? "variables" : title) }
            next
        }
        file != "" { print > file }' "$root/deploy/README.md"
    [[ $(find "$1" -type f | wc -l) -gt 1 ]] || die "deploy/README.md has no commands under \"Bare metal, step by step\""
}

# Bytes that do not repeat, so that a piece in a wrong place is seen.
put_files() {
    local size
    for size in "${FILE_SIZES[@]}"; do
        head -c "$size" /dev/urandom >"$served/$size.bin"
    done
}
