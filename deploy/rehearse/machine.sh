# shellcheck shell=bash
# Sourced: the machine and its two NICs, whose other ends are taps in a namespace of this run, and the line
# on which the inside says what it has done and asks the outside to do something. Needs say.sh, process.sh.
# shellcheck disable=SC2154 # set by rehearse.sh, which sources this file

# QEMU's own emulation, never the processor's: a guest's kernel may not run where this script does.
ACCELERATOR=tcg,thread=multi
MEMORY_MIB=1536
# Of one model, from the start of the machine to its end: ends one that hangs. The longest takes 150 to 300 s, as the
# machine outside is quick or slow.
MODEL_SECONDS=600
# The port Pollux takes, and the NIC that stays the kernel's.
PORT_PCI=0000:00:10.0
KERNEL_PCI=0000:00:11.0
CLIENT_CIDR=198.18.0.1/24
KERNEL_CLIENT_CIDR=198.19.0.1/24

# inside COMMAND...: runs it in this run's namespace.
inside() { ip netns exec "$netns" "$@"; }

# make_link: the port's tap and, over a bridge, the interface "client"; and the tap of the kernel's NIC. The
# bridge hands its frames on as a wire would: checksums filled in, nothing longer than the MTU; it does not answer
# for the client's address itself. The tap is multi-queue where the model's device has several queues.
make_link() {
    local queues=''
    [[ $device != *mq=on* ]] || queues=multi_queue
    ip netns add "$netns"
    inside ip link set lo up
    inside sysctl -qw net.ipv4.conf.all.arp_ignore=1
    inside ip tuntap add port mode tap ${queues:+"$queues"}
    inside ip tuntap add kernel mode tap
    inside ip link add bridge type bridge
    inside ip link add client type veth peer name wire
    inside ip link set port master bridge
    inside ip link set wire master bridge
    inside ethtool -K wire tx off tso off gso off >/dev/null
    inside ip address add "$CLIENT_CIDR" dev client
    inside ip address add "$KERNEL_CLIENT_CIDR" dev kernel
    local name
    for name in port kernel bridge wire client; do inside ip link set "$name" up; done
}

# start_machine SETTINGS: boots `model` with them on the kernel's command line; sets `machine`, its process, and the
# descriptors `heard` and `spoken`.
start_machine() {
    local queues=1 vmlinuz
    [[ $device != *mq=on* ]] || queues=2
    vmlinuz=$(echo "$kernel"/boot/vmlinuz-*)
    mkfifo "$scratch/line.in" "$scratch/line.out"
    exec {heard}<>"$scratch/line.out" {spoken}<>"$scratch/line.in"
    # no_timer_check: on a busy host the emulated timer may tick too late for the kernel's test of it, which panics.
    # shellcheck disable=SC2054 # QEMU's commas
    local -a command=(qemu-system-x86_64 -name "$netns" -nodefaults -no-user-config -display none -no-reboot
        -machine q35,kernel-irqchip=split -accel "$ACCELERATOR" -cpu max -smp 2 -m "$MEMORY_MIB"
        -device intel-iommu,intremap=on
        -kernel "$vmlinuz" -initrd "$image"
        -append "console=ttyS0 quiet panic=-1 no_timer_check intel_iommu=on $1 workers=$workers spread_over=$spread_over kernel_driver=$kernel_driver"
        -chardev "file,id=console,path=$console" -serial chardev:console
        -chardev "pipe,id=line,path=$scratch/line" -serial chardev:line
        -netdev tap,id=kernel,ifname=kernel,script=no,downscript=no
        -device "virtio-net-pci,netdev=kernel,mac=02:00:00:00:00:02,iommu_platform=on,disable-legacy=on,addr=${KERNEL_PCI:8:2}.0")
    # shellcheck disable=SC2054
    [[ $device == - ]] || command+=(
        -netdev "tap,id=port,ifname=port,script=no,downscript=no,queues=$queues"
        -device "$device,netdev=port,mac=02:00:00:00:00:01,addr=${PORT_PCI:8:2}.0")
    ip netns exec "$netns" timeout --kill-after 5 "$MODEL_SECONDS" "${command[@]}" {heard}>&- {spoken}>&- \
        </dev/null >"$scratch/qemu" 2>&1 &
    machine=$!
}

# attend MODEL: hears the inside until it says END. Its lines: "ok WHAT", "failed WHAT", "note WHAT" and
# "do ACTION ARGUMENT...", which is answered when the action is done.
attend() {
    local line part='' deadline=$((SECONDS + MODEL_SECONDS)) ended=''
    while [[ $SECONDS -lt $deadline ]]; do
        if ! IFS= read -r -t 2 -u "$heard" line; then
            # The time ended in the middle of a line, maybe.
            part+=$line
            [[ -n $(start_time "$machine") ]] || break
            continue
        fi
        line=$part${line%$'\r'}
        part=''
        case $line in
            'ok '*) passes "${line#ok }" ;;
            'failed '*) fails "${line#failed }" ;;
            'note '*) say "$model: ${line#note }" ;;
            'do '*)
                # shellcheck disable=SC2086 # words are what it is made of
                act ${line#do } || fails "the outside could not ${line#do }"
                printf 'done\n' >&"$spoken"
                ;;
            END) ended=yes && break ;;
            *) say "$model: not understood: $line" ;;
        esac
    done
    [[ -n $ended ]] || fails "the machine came to its end: it stopped, or took more than $MODEL_SECONDS s"
}

# remove_machine: ends QEMU and what captures, and takes the namespace away, with the taps.
remove_machine() {
    local pid
    for pid in "${captures[@]+"${captures[@]}"}"; do end_process "$pid" 5; done
    captures=()
    if [[ -n ${machine:-} ]]; then
        end_process "$machine" 5
        machine=''
    fi
    [[ ! -e /run/netns/$netns ]] || ip netns del "$netns"
    [[ -z ${heard:-} ]] || exec {heard}>&- {spoken}>&-
    heard=''
    rm -f "$scratch"/line.in "$scratch"/line.out
}
