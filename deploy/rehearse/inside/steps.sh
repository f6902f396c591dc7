#!/usr/bin/env bash
# Runs in the virtual machine, from two NICs of the kernel's to one that is served from, and back; or serves the
# machine's own kernel.

set -uo pipefail
port_name=''
# shellcheck source=deploy/rehearse/inside/line.sh
. /rehearsal/line.sh
# shellcheck source=deploy/rehearse/inside/port.sh
. /rehearsal/port.sh
# shellcheck source=deploy/rehearse/inside/page.sh
. /rehearsal/page.sh
# shellcheck disable=SC2034 # used by the files that are sourced
{
    KERNEL_DRIVER=$(setting kernel_driver)
    WORKERS=$(setting workers)
    SPREAD_OVER=$(setting spread_over)
}
# shellcheck source=deploy/rehearse/inside/serve.sh
. /rehearsal/serve.sh
# shellcheck source=deploy/rehearse/inside/vhost.sh
. /rehearsal/vhost.sh
# shellcheck source=deploy/rehearse/inside/kills.sh
. /rehearsal/kills.sh

main() {
    RANDOM=$(setting seed)
    cd /opt/pollux || return
    note "Linux $(uname -r)"
    if [[ $(setting rehearsal) == vhost ]]; then serve_the_kernel; else bind_and_give_back; fi
}

bind_and_give_back() {
    check "the machine has its addresses" give_addresses
    ask ping "$KERNEL_ADDRESS"
    look_and_be_refused
    if [[ $(setting page) == yes ]]; then
        run_page
        check_back page ''
    fi
    bind_serve_unbind
    leave_unconfirmed
    kill_rounds "$bind_and_serve_ms"
    ask ping "$KERNEL_ADDRESS"
}

# A port in use is not bound, and stays as it is.
look_and_be_refused() {
    pollux nic list
    check "nic list: $PORT is safe to bind" verdict_is "$PORT" "safe to bind"
    check "nic list: $KERNEL_PORT carries the default route" verdict_is "$KERNEL_PORT" default-route
    check_fails "bind of the port with the default route is refused" default pollux nic bind "$KERNEL_PORT" --yes
    check "the refused port stays the kernel's" driver_is "$KERNEL_PORT" virtio-pci
    ask ping "$KERNEL_ADDRESS"
}

# verdict_is PCI TEXT: whether one of the lines below the port's address in the list contains TEXT.
verdict_is() {
    pollux nic list | awk -v pci="$1" -v text="$2" '
        /^[0-9a-f]/ { mine = $1 == pci; next }
        mine && index($0, text) { found = 1 }
        END { exit !found }'
}

# The kernel has an address on the port, which Pollux takes with --force and gives back.
bind_serve_unbind() {
    local began
    ip address add "$PORT_ADDRESS/24" dev "$port_name"
    ip link set "$port_name" up
    ask ping "$PORT_ADDRESS"
    check "hugepages.sh reserve" ./hugepages.sh reserve "$PAGE_PAGES"
    check_fails "bind of a port with an address is refused" address pollux nic bind "$PORT" --yes
    check "the port with an address stays the kernel's" is_back
    began=$(now_ms)
    check "bind --force address" pollux nic bind "$PORT" --force address --yes
    check "vfio-pci holds the port" driver_is "$PORT" vfio-pci
    check "the other NIC stays the kernel's" driver_is "$KERNEL_PORT" virtio-pci
    bind_and_serve_ms=$(($(now_ms) - began + 2000))
    serve_and_stop
    check "unbind" pollux nic unbind "$PORT"
    check_back unbind "$PORT_ADDRESS"
    ask ping "$PORT_ADDRESS"
    check "unbind again changes nothing" pollux nic unbind "$PORT"
    check_back "unbind again" "$PORT_ADDRESS"
}

# A bind that nobody confirms is taken back.
leave_unconfirmed() {
    check "bind --watchdog 3s" pollux nic bind "$PORT" --force address --watchdog 3s --yes
    check_back "not confirmed" "$PORT_ADDRESS"
    check "nic status: nothing is recorded" await 5 has_no_record
}

has_no_record() { ! pollux nic status | grep -q "$PORT"; }

now_ms() { awk '{ print int($1 * 1000) }' /proc/uptime; }

main
say_line END
# What was said is on its way when the machine ends.
stty -F /dev/ttyS1 -echo
