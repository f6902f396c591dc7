# shellcheck shell=bash
# Sourced: the machines that can be rehearsed on, one a line. To add one, add its line.

# NAME  WORKERS  SPREAD-OVER  KERNEL-DRIVER  QEMU-DEVICE
#
# WORKERS is with how many Pollux serves, SPREAD-OVER how many of them get flows: QEMU 7.2's virtio-net has RSS;
# e1000e has one queue under DPDK, and Pollux spreads in software; vmxnet3 has two, but QEMU fills only the first.
# KERNEL-DRIVER is what holds the PCI function before the bind and must hold it again after it. vhost has no NIC
# to bind: Pollux serves the machine's own kernel through /dev/vhost-net.
MODELS='
virtio-net  2  2  virtio-pci  virtio-net-pci,mq=on,vectors=6,rss=on,hash=on,iommu_platform=on,disable-legacy=on
e1000e      2  2  e1000e      e1000e
vmxnet3     2  1  vmxnet3     vmxnet3
vhost       2  2  -           -
'

# model_names: one a line.
model_names() { awk 'NF { print $1 }' <<<"$MODELS"; }

# read_model NAME: sets workers, spread_over, kernel_driver and device; status 1 where there is none.
read_model() {
    local name
    # shellcheck disable=SC2034 # read by the files that are sourced beside this one
    while read -r name workers spread_over kernel_driver device; do
        [[ $name != "$1" ]] || return 0
    done <<<"$MODELS"
    return 1
}
