# shellcheck shell=bash
# Sourced in the virtual machine: what its two NICs are, and what holds them at the moment.
# shellcheck disable=SC2034,SC2154 # set or used by steps.sh and the files it sources

# The NIC to bind and the one that stays the kernel's.
PORT=0000:00:10.0
KERNEL_PORT=0000:00:11.0
# Pollux's address; the client's outside; the kernel's on the port before and after Pollux; the kernel's on its own NIC.
POLLUX_ADDRESS=198.18.0.2
CLIENT_ADDRESS=198.18.0.1
PORT_ADDRESS=198.18.0.3
KERNEL_ADDRESS=198.19.0.2
GATEWAY=198.19.0.1
BACK_SECONDS=20

# netdev PCI: the kernel's interface on it; nothing, and status 1, where there is none. virtio's is a level deeper.
netdev() {
    local path
    for path in "/sys/bus/pci/devices/$1"/net/* "/sys/bus/pci/devices/$1"/virtio*/net/*; do
        [[ ! -e $path ]] || { printf '%s\n' "${path##*/}" && return; }
    done
    return 1
}

# driver PCI: what holds it.
driver() { basename "$(readlink "/sys/bus/pci/devices/$1/driver")"; }

driver_is() { [[ $(driver "$1") == "$2" ]]; }

has_address() { ip -brief address show dev "$1" | grep -q " $2/24"; }

# give_addresses: as a machine that has been set up by its operator, the default route over the kernel's NIC.
give_addresses() {
    port_name=$(netdev "$PORT") || return 1
    kernel_name=$(netdev "$KERNEL_PORT") || return 1
    ip address add "$KERNEL_ADDRESS/24" dev "$kernel_name" &&
        ip link set "$kernel_name" up &&
        ip route add default via "$GATEWAY" &&
        ip link set "$port_name" up
}

# is_back: the kernel's driver holds the port again, under its old name.
is_back() { driver_is "$PORT" "$KERNEL_DRIVER" && [[ $(netdev "$PORT") == "$port_name" ]]; }

# check_back WHAT ADDRESS: driver, name and, where ADDRESS is not empty, address are what they were.
check_back() {
    check "$1: $KERNEL_DRIVER holds the port again as $port_name" await "$BACK_SECONDS" is_back
    [[ -z $2 ]] || check "$1: address $2 is back" await "$BACK_SECONDS" has_address "$port_name" "$2"
    [[ $(<"/sys/bus/pci/devices/$PORT/driver_override") == '(null)' ]] || failed "$1: driver_override stays"
}
