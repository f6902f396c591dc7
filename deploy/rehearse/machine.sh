# shellcheck shell=bash
# Sourced: the machine and its two NICs, whose other ends are taps in a namespace of this run, and the line
# on which the inside says what it has done and asks the outside to do something. Needs say.sh, process.sh.

# QEMU's own emulation, never the processor's: a guest's kernel may not run where this script does.
ACCELERATOR=tcg,thread=multi
MEMORY_MIB=1536
BOOT_SECONDS=60
# Of one model, from the start of the machine to its end.
MODEL_SECONDS=240
# The port Pollux takes, and the NIC that stays the kernel's.
PORT_PCI=0000:00:10.0
KERNEL_PCI=0000:00:11.0
CLIENT_CIDR=198.18.0.1/24
KERNEL_CLIENT_CIDR=198.19.0.1/24

# inside COMMAND...: runs it in this run's namespace.
inside() { ip netns exec "$netns" "$@"; }

# make_taps: a multi-queue tap "port" where the model's device has several queues.
make_taps() {
    ip netns add "$netns"
    inside ip link set lo up
    # shellcheck disable=SC2046 # one word or none
    inside ip tuntap add port mode tap $([[ $device != *mq=on* ]] || echo multi_queue)
    inside ip tuntap add kernel mode tap
    inside ip address add "$CLIENT_CIDR" dev port
    inside ip address add "$KERNEL_CLIENT_CIDR" dev kernel
    inside ip link set port up
    inside ip link set kernel up
}

# start_machine MODEL SEED: sets `machine`, its process, and the descriptors `heard` and `spoken`.
start_machine() {
    local queues=1 vmlinuz
    [[ $device != *mq=on* ]] || queues=2
    vmlinuz=$(echo "$kernel"/boot/vmlinuz-*)
    mkfifo "$scratch/line.in" "$scratch/line.out"
    exec {heard}<>"$scratch/line.out" {spoken}<>"$scratch/line.in"
    local -a command=(qemu-system-x86_64 -name "$netns" -nodefaults -no-user-config -display none -no-reboot
        -machine q35,kernel-irqchip=split -accel "$ACCELERATOR" -cpu max -smp 2 -m "$MEMORY_MIB"
        -device intel-iommu,intremap=on
        -kernel "$vmlinuz" -initrd "$image"
        -append "console=ttyS0 quiet panic=-1 intel_iommu=on rehearsal=$1 seed=$2 workers=$workers receive_queues=$receive_queues kernel_driver=$kernel_driver"
        -chardev "file,id=console,path=$console" -serial chardev:console
        -chardev "pipe,id=line,path=$scratch/line" -serial chardev:line
        -netdev "tap,id=port,ifname=port,script=no,downscript=no,queues=$queues"
        -device "$device,netdev=port,mac=02:00:00:00:00:01,addr=${PORT_PCI:8:2}.0"
        -netdev tap,id=kernel,ifname=kernel,script=no,downscript=no
        -device "virtio-net-pci,netdev=kernel,mac=02:00:00:00:00:02,iommu_platform=on,disable-legacy=on,addr=${KERNEL_PCI:8:2}.0")
    ip netns exec "$netns" timeout --kill-after 5 "$MODEL_SECONDS" "${command[@]}" {heard}>&- {spoken}>&- \
        </dev/null >"$scratch/qemu" 2>&1 &
    machine=$!
}

# attend MODEL: hears the inside until it says END. Its lines: "ok WHAT", "failed WHAT", "note WHAT" and
# "do ACTION ARGUMENT...", which is answered when the action is done.
attend() {
    local line deadline=$((SECONDS + MODEL_SECONDS)) ended=''
    while [[ $SECONDS -lt $deadline ]]; do
        if ! IFS= read -r -t 2 -u "$heard" line; then
            [[ -n $(start_time "$machine") ]] || break
            continue
        fi
        line=${line%$'\r'}
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
    [[ -n $ended ]] || fails "the machine did not come to its end within $MODEL_SECONDS s"
}

# remove_machine: ends QEMU and takes the namespace away, with the taps.
remove_machine() {
    if [[ -n ${machine:-} ]]; then
        end_process "$machine" 5
        machine=''
    fi
    [[ ! -e /run/netns/$netns ]] || ip netns del "$netns"
    [[ -z ${heard:-} ]] || exec {heard}>&- {spoken}>&-
    heard=''
    rm -f "$scratch"/line.in "$scratch"/line.out
}
