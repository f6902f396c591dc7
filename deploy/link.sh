#!/usr/bin/env bash
# deploy/link.sh: makes and removes the link between Pollux and this machine's kernel.
#
#   link.sh up [--kind veth|tap|vhost] [--queues N] [--netns NAME] [--pair N]   make it; of one that is up, mend what is missing
#   link.sh down [--netns NAME] [--pair N]                     remove all that up made
#   link.sh status [--netns NAME] [--pair N]                   print what is there: exit 0 up, 3 down
#   link.sh exec [--netns NAME] -- COMMAND...                  run COMMAND where the link is
#
#   --netns NAME  the link lives in network namespace NAME, which is made where it is missing (and then
#                 removed by down). Without it: in the namespace this script runs in.
#   --pair N      another link beside the first, for a second server (see upgrade.sh): 1 to 255. N stands
#                 behind the names, pollux1 and pollux-host1, and in the addresses, 198.18.N.0/24.
#   --queues N    queues per direction (default 1). Pollux must be started with as many.
#   --kind veth   (default) pollux0, for Pollux as af_xdp:pollux0 or af_packet:pollux0, joined to
#                 pollux-host, the kernel's end at 198.18.0.1/24. pollux0 has no address: Pollux
#                 answers there, at 198.18.0.2.
#   --kind tap    pollux-host alone, at 198.18.0.1/24, waiting without carrier until Pollux takes the
#                 other end as tap:pollux-host.
#   --kind vhost  the same for vhost:pollux-host, with the offloads of the kernel's end left on.
#
# Links of different namespaces do not disturb each other. What was made is written down under
# /run/pollux. AF_XDP pins its program under /sys/fs/bpf, where up mounts a bpffs if there is none.
# Entering a namespace replaces /sys and so hides it; exec mounts one where COMMAND looks.

set -euo pipefail
# The package has it as /usr/sbin/pollux-link, which is a link.
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=deploy/say.sh
. "$here/say.sh"
# shellcheck source=deploy/record.sh
. "$here/record.sh"

PORT=pollux0
HOST=pollux-host
HOST_CIDR=198.18.0.1/24
PORT_ADDRESS=198.18.0.2
LINK_MTU=1500
QUEUES_MAX=64
BPFFS=/sys/fs/bpf
# Whoever reads raw frames wants them as they would be on a wire: checksums filled in, no longer than
# the MTU, VLAN tags inside.
OFFLOADS_MUST=(tx gso tso gro)
OFFLOADS_IF_THERE=(lro rxvlan txvlan)
# What must be off after that, as ethtool shows it.
PLAIN=(tx-checksumming generic-segmentation-offload tcp-segmentation-offload generic-receive-offload)

main() {
    local verb=${1-} kind=veth queues=1
    local -a command=()
    netns=''
    case $verb in
        -h | --help | help) show_help && exit ;;
        up | down | status | exec) shift ;;
        *) misuse "say up, down, status or exec; '$verb' is none of them" ;;
    esac
    while [[ $# -gt 0 ]]; do
        if [[ $verb == exec && $1 == -- ]]; then
            command=("${@:2}")
            break
        fi
        [[ $# -ge 2 ]] || misuse "'$1' is not understood, or lacks its value"
        case $verb:$1 in
            *:--netns) netns=$2 ;;
            up:--pair | down:--pair | status:--pair) need_number --pair "$2" && name_pair "$((10#$2))" ;;
            up:--queues) need_number --queues "$2" && queues=$((10#$2)) ;;
            up:--kind) kind=$2 ;;
            *) misuse "'$1' does not belong to $verb" ;;
        esac
        shift 2
    done
    check_arguments "$kind" "$queues"
    need_root
    name_record
    case $verb in
        up)
            lock link
            up "$kind" "$queues"
            ;;
        down)
            lock link
            down
            ;;
        status) status ;;
        exec) run_there "${command[@]+"${command[@]}"}" ;;
    esac
}

check_arguments() {
    [[ -z $netns || ($netns =~ ^[A-Za-z0-9_.-]{1,64}$ && $netns != .*) ]] ||
        misuse "--netns wants a plain name, not '$netns'"
    [[ $1 == veth || $1 == tap || $1 == vhost ]] || misuse "--kind is veth, tap or vhost, not '$1'"
    [[ $2 -ge 1 && $2 -le $QUEUES_MAX ]] || misuse "--queues is 1 to $QUEUES_MAX, not $2"
    local tool
    for tool in ip ethtool sysctl flock; do
        command -v "$tool" >/dev/null ||
            die "$tool is missing: apt-get install iproute2 ethtool procps util-linux"
    done
}

# The record is named for the namespace: by name, or by inode where it has none.
name_record() {
    [[ -n $netns ]] || netns_inode=$(stat -Lc %i /proc/self/ns/net)
    record=link-${netns:-@$netns_inode}
    where=${netns:+namespace $netns}
    where=${where:-this namespace}
    option=${netns:+ --netns $netns}
    if [[ $HOST != pollux-host ]]; then
        record+=-$HOST
        option+=" --pair ${HOST#pollux-host}"
    fi
}

name_pair() {
    [[ $1 -ge 1 && $1 -le 255 ]] || misuse "--pair is 1 to 255, not $1"
    PORT=pollux$1
    HOST=pollux-host$1
    HOST_CIDR=198.18.$1.1/24
    PORT_ADDRESS=198.18.$1.2
}

# inside COMMAND...: runs it in the link's namespace.
inside() {
    if [[ -n $netns ]]; then ip netns exec "$netns" "$@"; else "$@"; fi
}

up() {
    if read_record "$record" >/dev/null && exists "$HOST"; then
        [[ $(record_value "$record" kind) == "$1" && $(record_value "$record" queues) == "$2" ]] ||
            die "a $(record_value "$record" kind) link with $(record_value "$record" queues) queue(s) is up" \
                "in $where: run '$0 down$option' first"
        if [[ $1 != veth ]] || exists "$PORT"; then
            mend "$1" "$2"
            return
        fi
        warn "$PORT, the other end of $HOST, is gone: making the link anew"
    fi
    forget_stale
    refuse_strangers
    trap 'undo_up' EXIT
    make_namespace
    note kind "$1"
    note queues "$2"
    "make_$1" "$2"
    finish "$1" "$2"
    trap - EXIT
    say "$1 link up in $where: the kernel is $HOST_CIDR on $HOST, Pollux is to be ${PORT_ADDRESS}/24 on" \
        "$([[ $1 == veth ]] && echo "$PORT" || echo "$1:$HOST"), $2 queue(s)"
}

# mend KIND QUEUES: the devices are there; what else belongs to the link may not be, where an `up` was killed or
# somebody changed it.
mend() {
    local wrong
    wrong=$(wrong_parts "$1" "$2")
    if [[ -z $wrong ]]; then
        mount_bpffs
        say "the link is already up in $where"
        return
    fi
    finish "$1" "$2"
    say "the link is up in $where; mended: ${wrong//$'\n'/, }"
    wrong=$(wrong_parts "$1" "$2")
    [[ -z $wrong ]] || warn "still not as it should be: ${wrong//$'\n'/, }. Run '$0 down$option' and '$0 up$option'"
}

# finish KIND QUEUES: everything about the devices of a link but that they are there. Safe to repeat.
finish() {
    local device
    for device in $(devices_of "$1"); do
        inside ip link set "$device" mtu "$LINK_MTU"
        make_quiet "$device"
        # vhost hands checksums and whole segments over.
        [[ $1 == vhost ]] || make_plain "$device"
    done
    [[ $1 != veth ]] || hide_from_kernel
    [[ $2 -eq 1 ]] || keep_flows_on_queue
    inside ip address replace "$HOST_CIDR" dev "$HOST"
    for device in $(devices_of "$1"); do inside ip link set "$device" up; done
    mount_bpffs
}

devices_of() {
    [[ $1 != veth ]] || echo "$PORT"
    echo "$HOST"
}

# wrong_parts KIND QUEUES: a line for each part of the link that is not as `finish` leaves it.
wrong_parts() {
    local device feature
    for device in $(devices_of "$1"); do
        [[ $(inside cat "/sys/class/net/$device/mtu") == "$LINK_MTU" ]] || echo "MTU of $device"
        inside ip link show dev "$device" | grep -q '[<,]UP[,>]' || echo "$device is down"
        is_set "$device" ipv6 disable_ipv6 1 || echo "IPv6 of $device"
        [[ $1 != vhost ]] || continue
        for feature in "${PLAIN[@]}"; do
            inside ethtool -k "$device" | grep -q "^$feature: off" || echo "$feature of $device"
        done
    done
    if [[ $1 == veth ]]; then
        { is_set "$PORT" ipv4 arp_ignore 8 && is_set "$PORT" ipv4 forwarding 0; } || echo "ARP and forwarding of $PORT"
    fi
    [[ $2 -eq 1 || $(inside sysctl -n net.core.txrehash 2>/dev/null || echo 0) == 0 ]] || echo "net.core.txrehash"
    inside ip -4 address show dev "$HOST" | grep -qF " $HOST_CIDR " || echo "address of $HOST"
}

# A link whose record is here but which is gone (somebody deleted it) leaves nothing but the record.
forget_stale() {
    if read_record "$record" >/dev/null; then down; fi
}

# `up` ended early: nothing of it stays.
undo_up() {
    trap - EXIT
    warn "could not make the link, taking back what was made"
    down || true
}

make_namespace() {
    if [[ -n $netns && ! -e /run/netns/$netns ]]; then
        note netns made
        ip netns add "$netns"
        inside ip link set lo up
    fi
}

refuse_strangers() {
    local device
    for device in "$PORT" "$HOST"; do
        if exists "$device"; then
            die "$device is already in $where and this script did not make it:" \
                "remove it with '${netns:+ip netns exec $netns }ip link del $device'"
        fi
    done
}

make_veth() {
    inside ip link add "$PORT" mtu "$LINK_MTU" numrxqueues "$1" numtxqueues "$1" type veth \
        peer name "$HOST" mtu "$LINK_MTU" numrxqueues "$1" numtxqueues "$1"
}

# DPDK attaches to a persistent multi-queue tap of this name and leaves its address and offloads alone
# (seen with 22.11), so the kernel's end can be made beforehand and survives the appliance.
make_tap() {
    [[ -c /dev/net/tun ]] || die "there is no /dev/net/tun: modprobe tun (in a container: --device /dev/net/tun)"
    inside ip tuntap add dev "$HOST" mode tap multi_queue
}

# The driver opens it with as many queues as there are workers, and as "multi_queue" only where that is
# more than one: the kernel wants both to say the same. Checksums and whole segments are handed over.
make_vhost() {
    [[ -c /dev/vhost-net ]] || die "there is no /dev/vhost-net: modprobe vhost_net (in a container: --device /dev/vhost-net)"
    [[ -c /dev/net/tun ]] || die "there is no /dev/net/tun: modprobe tun (in a container: --device /dev/net/tun)"
    if [[ $1 -eq 1 ]]; then
        inside ip tuntap add dev "$HOST" mode tap vnet_hdr
    else
        inside ip tuntap add dev "$HOST" mode tap vnet_hdr multi_queue
    fi
}

# No IPv6 of the kernel's own: no neighbour or listener reports among the frames.
make_quiet() {
    inside ip link set "$1" addrgenmode none
    set_device "$1" ipv6 disable_ipv6 1 || warn "the kernel's own IPv6 stays on $1: Pollux drops its frames and counts them"
}

make_plain() {
    local feature
    for feature in "${OFFLOADS_MUST[@]}" "${OFFLOADS_IF_THERE[@]}"; do
        inside ethtool -K "$1" "$feature" off >/dev/null 2>&1 || true
    done
    for feature in "${PLAIN[@]}"; do
        inside ethtool -k "$1" | grep -q "^$feature: off" ||
            die "$feature cannot be turned off on $1: Pollux would see frames no wire carries"
    done
}

# An AF_PACKET reader gets copies: the kernel sees the same frames. It has no address on pollux0, so
# it answers no TCP; it must not answer ARP for its other addresses nor forward either.
hide_from_kernel() {
    { set_device "$PORT" ipv4 arp_ignore 8 && set_device "$PORT" ipv4 forwarding 0; } ||
        die "cannot hide $PORT from the kernel, which would answer as well: in a container, start it with --privileged"
}

# Linux picks a socket's queue by a hash it draws anew after a retransmission timeout. The flow would
# then reach another worker, which does not know it.
keep_flows_on_queue() {
    local old
    old=$(inside sysctl -n net.core.txrehash 2>/dev/null) || return 0
    [[ $old != 0 ]] || return 0
    [[ -n $(record_value "$record" txrehash) ]] || note txrehash "$old"
    inside sysctl -qw net.core.txrehash=0
}

# set_device DEVICE FAMILY KEY VALUE, where the kernel has that family; status 1 where it has another value and
# cannot be written.
set_device() {
    local path=/proc/sys/net/$2/conf/$1/$3
    # shellcheck disable=SC2016 # the inner shell expands them, in the namespace
    inside bash -c '[[ ! -e $1 || $(<"$1") == "$2" ]] || { echo "$2" >"$1"; } 2>/dev/null' - "$path" "$4"
}

# is_set DEVICE FAMILY KEY VALUE: whether it has this value, or the kernel has no such family.
is_set() {
    local path=/proc/sys/net/$2/conf/$1/$3
    # shellcheck disable=SC2016 # the inner shell expands them, in the namespace
    inside bash -c '[[ ! -e $1 || $(<"$1") == "$2" ]]' - "$path" "$4"
}

mount_bpffs() {
    mountpoint -q "$BPFFS" && return
    if ! mount -t bpf bpf "$BPFFS" 2>/dev/null; then
        warn "cannot mount a bpffs on $BPFFS: AF_XDP may not work here, AF_PACKET and TAP will"
        return
    fi
    write_record bpffs <<<"mounts $(mounts)"
    say "mounted a bpffs on $BPFFS"
}

down() {
    if ! read_record "$record" >/dev/null; then
        drop_record "$record"
        local state=0
        status >/dev/null || state=$?
        [[ $state -eq 3 ]] || die "$HOST in $where was not made by this script: remove it with 'ip link del $HOST'"
        say "no link in $where, nothing to do"
    else
        remove_link
        remove_namespace
        drop_record "$record"
        say "link down in $where"
    fi
    unmount_bpffs
}

# An end whose peer lies in a namespace that is being deleted goes with it: perhaps just now, by itself.
remove_device() {
    local said
    said=$(inside ip link del "$1" 2>&1) || ! exists "$1" || die "$said"
}

remove_link() {
    [[ -z $netns || -e /run/netns/$netns ]] || return 0
    if exists "$PORT"; then
        remove_xdp
        remove_device "$PORT"
    elif exists "$HOST"; then
        remove_device "$HOST"
    fi
    local old
    old=$(record_value "$record" txrehash)
    [[ -z $old ]] || inside sysctl -qw "net.core.txrehash=$old"
}

# A server that was killed leaves its XDP program on the device and, pinned in the bpffs, the
# dispatcher directory libxdp named after device and program.
remove_xdp() {
    local program index
    program=$(xdp_program)
    [[ -n $program ]] || return 0
    index=$(inside cat "/sys/class/net/$PORT/ifindex")
    inside ip link set dev "$PORT" xdp off
    rm -rf "$BPFFS/xdp/dispatch-$index-$program"
    say "took the XDP program off $PORT"
}

remove_namespace() {
    [[ $(record_value "$record" netns) == made && -e /run/netns/$netns ]] || return 0
    local pids
    pids=$(ip netns pids "$netns" | tr '\n' ' ')
    [[ -z $pids ]] || warn "still running in namespace $netns, which lives on nameless until they end: $pids"
    ip netns del "$netns"
}

# The bpffs goes with the last link, and only if a link script mounted it.
unmount_bpffs() {
    read_record bpffs >/dev/null || return 0
    compgen -G "$RECORDS/link-*" >/dev/null && return
    if [[ $(record_value bpffs mounts) != "$(mounts)" ]]; then
        # That of a container which has ended; here may be another.
        drop_record bpffs
    elif ! mountpoint -q "$BPFFS" || umount "$BPFFS"; then
        drop_record bpffs
    else
        warn "$BPFFS is in use and stays mounted: 'umount $BPFFS' once its user has ended"
    fi
}

# The mount namespace this script runs in.
mounts() { stat -Lc %i /proc/self/ns/mnt; }

status() {
    if [[ -n $netns && ! -e /run/netns/$netns ]]; then
        printf 'down: there is no namespace %s\n' "$netns"
        return 3
    fi
    if ! exists "$HOST"; then
        printf 'down: no link in %s\n' "$where"
        return 3
    fi
    printf 'up in %s\n' "$where"
    printf '  kernel     %s\n' "$(inside ip -brief address show dev "$HOST" | tr -s ' ')"
    if exists "$PORT"; then
        local program
        program=$(xdp_program)
        printf '  Pollux     %s\n' "$(inside ip -brief link show dev "$PORT" | tr -s ' ')"
        printf '  XDP        %s\n' "${program:+program }${program:-none}"
    else
        printf '  Pollux     takes the other end as %s:%s\n' "$(record_value "$record" kind)" "$HOST"
    fi
    printf '  bpffs      %s\n' "$(mountpoint -q "$BPFFS" && echo "on $BPFFS" || echo none)"
    [[ -z $netns ]] || printf "  run there  %s exec%s -- COMMAND (it mounts the bpffs that entering a namespace hides)\n" "$0" "$option"
}

# Becomes COMMAND: same process, so that signals reach it.
run_there() {
    [[ $# -gt 0 ]] || misuse "exec wants -- and a command"
    [[ -n $netns ]] || exec "$@"
    [[ -e /run/netns/$netns ]] || die "there is no namespace $netns: run '$0 up$option' first"
    # shellcheck disable=SC2016 # the inner shell expands them, in the namespace
    exec ip netns exec "$netns" bash -c 'mountpoint -q "$0" || mount -t bpf bpf "$0" || true; exec "$@"' "$BPFFS" "$@"
}

exists() { inside ip link show dev "$1" >/dev/null 2>&1; }

# The id of the XDP program on pollux0, if there is one.
xdp_program() {
    inside ip -details link show dev "$PORT" | sed -n 's/.*prog\/xdp id \([0-9]*\).*/\1/p' | head -n 1
}

# note KEY VALUE: adds a line to the link's record, before the deed it speaks of.
note() {
    { read_record "$record" || true; printf '%s %s\n' "$1" "$2"; } | write_record "$record"
}

main "$@"
