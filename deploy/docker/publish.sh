#!/usr/bin/env bash
# deploy/docker/publish.sh: hands a TCP port of this network namespace to Pollux behind the link of link.sh.
#
#   publish.sh up PORT ADDRESS:PORT   connections to PORT of any address of this namespace, from outside and from
#                                     itself (localhost as well), reach ADDRESS:PORT
#   publish.sh down                   remove all that up made
#
# up makes one nftables table, `ip pollux`: destination NAT, and for localhost, which needs route_localnet on
# pollux-host, source NAT. Interfaces that do not forward yet begin to, to pollux-host and nowhere else. What was
# changed is written down under /run/pollux, and put back by down.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=deploy/say.sh
. "$here/say.sh"
# shellcheck source=deploy/record.sh
. "$here/record.sh"

TABLE=pollux
HOST=pollux-host

main() {
    case ${1-} in
        -h | --help | help) show_help && exit ;;
        up)
            [[ $# -eq 3 && $3 =~ ^[0-9.]+:[0-9]+$ ]] || misuse "up wants a port and an ADDRESS:PORT"
            need_port up "$2"
            ;;
        down) [[ $# -eq 1 ]] || misuse "down wants nothing more" ;;
        *) misuse "say up or down; '${1-}' is neither" ;;
    esac
    need_root
    command -v nft >/dev/null || die "nft is missing: apt-get install nftables"
    record=publish-@$(stat -Lc %i /proc/self/ns/net)
    lock publish
    "$@"
}

up() {
    local port=$1 to=$2 device
    local -a opened=()
    down
    [[ " $(ip -4 route get "${to%:*}" 2>/dev/null | head -n 1) " == *" dev $HOST "* ]] ||
        die "the kernel does not reach ${to%:*} over $HOST: give Pollux an address of that interface's network (listen.address)"
    [[ -z $(ss -H -l -t -n "sport = :$port") ]] ||
        die "something listens on port $port here already ('ss -ltnp sport = :$port'): publish another one"
    ! nft list table ip "$TABLE" >/dev/null 2>&1 || die "there is a table 'ip $TABLE' that this script did not make: nft delete table ip $TABLE"
    trap 'down' EXIT
    write_record "$record" <<<"port $port"
    for device in $(others); do
        [[ $(<"$(key "$device" forwarding)") == 0 ]] || continue
        note forwarding "$device"
        opened+=("$device")
        set_key "$device" forwarding 1 || die "cannot write $(key "$device" forwarding):" \
            "start the container with --sysctl net.ipv4.ip_forward=1, or with --privileged"
    done
    set_key "$HOST" forwarding 1 || die "cannot write $(key "$HOST" forwarding): see above"
    set_key "$HOST" route_localnet 1 ||
        warn "cannot write $(key "$HOST" route_localnet): port $port of localhost is not answered, that of other addresses is"
    rules "$port" "$to" "${opened[@]+"${opened[@]}"}" | nft -f -
    trap - EXIT
    say "port $port of this namespace is answered by $to"
}

# The interfaces besides the link's that have an address.
others() { ip -4 -o address show | awk '{ print $2 }' | sort -u | grep -vxE "lo|pollux0|$HOST" || true; }

# rules PORT TO OPENED...
rules() {
    local port=$1 to=$2
    shift 2
    cat <<RULES
table ip $TABLE {
    chain prerouting {
        type nat hook prerouting priority dstnat
        fib daddr type local tcp dport $port dnat to $to
    }
    chain output {
        type nat hook output priority -100
        fib daddr type local tcp dport $port dnat to $to
    }
    chain postrouting {
        type nat hook postrouting priority srcnat
        oifname "$HOST" ip saddr 127.0.0.0/8 masquerade
    }
    chain forward {
        type filter hook forward priority filter
$([[ $# -eq 0 ]] || printf '        iifname "%s" oifname != "'"$HOST"'" drop\n' "$@")
    }
}
RULES
}

down() {
    local device
    trap - EXIT
    if ! read_record "$record" >/dev/null; then
        drop_record "$record"
        return
    fi
    nft delete table ip "$TABLE" 2>/dev/null || true
    # The link's own keys go with it.
    [[ ! -e $(key "$HOST" route_localnet) ]] || set_key "$HOST" route_localnet 0 || true
    for device in $(record_value "$record" forwarding); do
        [[ ! -e $(key "$device" forwarding) ]] || set_key "$device" forwarding 0 ||
            warn "$device still forwards: cannot write $(key "$device" forwarding)"
    done
    say "port $(record_value "$record" port) of this namespace is its own again"
    drop_record "$record"
}

key() { printf '/proc/sys/net/ipv4/conf/%s/%s\n' "$1" "$2"; }

# set_key DEVICE KEY VALUE: status 1 where it has another value and cannot be written.
set_key() {
    local path
    path=$(key "$1" "$2")
    [[ $(<"$path") == "$3" ]] || { echo "$3" >"$path"; } 2>/dev/null
}

note() { { read_record "$record" && printf '%s %s\n' "$1" "$2"; } | write_record "$record"; }

main "$@"
