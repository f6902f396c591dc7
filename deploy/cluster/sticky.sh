#!/usr/bin/env bash
# deploy/cluster/sticky.sh: on a Linux router, connections stay with the server they began at.
#
#   sticky.sh up --service ADDRESS SERVER...   SERVER is link.address of one, without its prefix length
#   sticky.sh down                             removes all that up made
#   sticky.sh status                           print what is there: exit 0 up, 3 down
#
# Equal paths are chosen by a hash over those there are, so that a route that comes or goes moves connections
# that have nothing to do with it. Here the first packet of a connection takes one of the paths, connection tracking
# remembers the next hop as the mark of the connection, and as soon as the server has answered, its packets are routed by the mark.
# A route that is withdrawn thus takes no new connections and keeps those it has. The MSS of both sides is
# lowered to what the links of this router carry.
#
# `up` may be repeated with other servers; no connection notices. It makes the nftables table
# pollux-cluster, and for each server a routing rule of priority 7600 with a table; mark and table number
# are the server's address as a number. Packets to ADDRESS must not be marked by anything else.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/say.sh
. "$here/../say.sh"

TABLE=pollux-cluster
PRIORITY=7600
DOWN=3

main() {
    local verb=${1-} service=''
    local -a servers=()
    case $verb in
        -h | --help | help) show_help && exit ;;
        up | down | status) shift ;;
        *) misuse "say up, down or status; '$verb' is none of them" ;;
    esac
    while [[ $# -gt 0 ]]; do
        case $verb:$1 in
            up:--service)
                need_address "$1" "${2-}"
                service=$2
                shift
                ;;
            up:-*) misuse "'$1' is not understood" ;;
            up:*)
                need_address SERVER "$1"
                servers+=("$1")
                ;;
            *) misuse "'$1' does not belong to $verb" ;;
        esac
        shift
    done
    need_root
    command -v ip nft >/dev/null || die "ip or nft is missing: apt-get install iproute2 nftables"
    case $verb in
        up)
            [[ -n $service && ${#servers[@]} -gt 0 ]] || misuse "up wants --service ADDRESS and a SERVER"
            up "$service" "${servers[@]}"
            ;;
        down) down ;;
        status) status ;;
    esac
}

need_address() {
    local byte
    local -a bytes
    IFS=. read -ra bytes <<<"$2"
    [[ $2 =~ ^[0-9]{1,3}(\.[0-9]{1,3}){3}$ ]] || misuse "$1 wants an address such as 10.0.0.2, not '$2'"
    for byte in "${bytes[@]}"; do
        ((10#$byte <= 255)) || misuse "$1 wants an address such as 10.0.0.2, not '$2'"
    done
}

# up SERVICE SERVER...
up() {
    local service=$1 server mark elements=''
    shift
    [[ $(sysctl -n net.ipv4.ip_forward) == 1 ]] || die "this host forwards nothing: load router-sysctl.conf (sysctl -p)"
    for server in "$@"; do
        mark=$(number_of "$server")
        [[ $(ip route get "$server" 2>/dev/null) != *' via '* ]] ||
            die "$server is behind another router: the next hop must be the server itself"
        ip route replace default via "$server" table "$mark" ||
            die "$server is not to be reached on a link of this host"
        [[ -n $(ip rule list priority "$PRIORITY" fwmark "$mark") ]] ||
            ip rule add priority "$PRIORITY" fwmark "$mark" lookup "$mark"
        elements+="$server : $mark, "
    done
    # One transaction: the old table goes as the new one comes.
    nft -f - <<NFT
table ip $TABLE {}
delete table ip $TABLE
table ip $TABLE {
    map mark_of {
        type ipv4_addr : mark
        elements = { ${elements%, } }
    }
    chain pin {
        type filter hook prerouting priority mangle; policy accept;
        ip daddr $service ct direction original ct state established,related ct mark != 0 meta mark set ct mark
    }
    chain choose {
        type filter hook forward priority mangle; policy accept;
        ip daddr $service ct state new ct mark set rt ip nexthop map @mark_of
        ip daddr $service tcp flags syn tcp option maxseg size set rt mtu
        ip saddr $service tcp flags syn tcp option maxseg size set rt mtu
    }
}
NFT
    say "connections to $service stay with the server they began at: $*"
}

# 10.0.0.2 as 167772162.
number_of() {
    local a b c d
    IFS=. read -r a b c d <<<"$1"
    echo $(((10#$a << 24) + (10#$b << 16) + (10#$c << 8) + 10#$d))
}

down() {
    local mark
    nft delete table ip "$TABLE" 2>/dev/null || true
    while read -r mark; do
        ip rule del priority "$PRIORITY" lookup "$mark"
        ip route flush table "$mark"
    done < <(our_tables)
    say "connections go where the routes say"
}

our_tables() { ip rule list priority "$PRIORITY" | sed -n 's/.* lookup \([0-9]*\).*/\1/p'; }

status() {
    nft list table ip "$TABLE" 2>/dev/null || { say "down" && exit "$DOWN"; }
    ip rule list priority "$PRIORITY"
}

main "$@"
