#!/usr/bin/env bash
# deploy/cluster/announce.sh: gives this host the service address while Pollux is ready, for bgpd to announce.
#
#   announce.sh --service ADDRESS/32 [--ready URL] [--interval SECONDS]
#
#   --service   the service address, listen.address of the configuration. It is put on the interface lo; bgpd
#               announces it from there (redistribute connected, see appliance-frr.conf).
#   --ready     what is asked (default http://127.0.0.1:9464/readyz: metrics.listen)
#   --interval  between two questions (default 0.5)
#
# Announced after two answers 200 in a row. Withdrawn at once on any other answer (503: the server drains), and
# when there was no answer twice. Withdrawn as well when this script ends, by SIGTERM or SIGINT: run it beside
# the server and as long, and end it after `pollux stop`. After kill -9 the address stays until the next start.

set -euo pipefail
# The package has it as /usr/sbin/pollux-announce, which is a link.
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=deploy/say.sh
. "$here/../say.sh"

# /readyz takes up to a second to find that a worker does not turn.
ANSWER_SECONDS=2
RISE=2
FALL=2

main() {
    service=''
    local ready=http://127.0.0.1:9464/readyz interval=0.5
    while [[ $# -gt 0 ]]; do
        case $1 in
            -h | --help) show_help && exit ;;
        esac
        [[ $# -ge 2 ]] || misuse "'$1' is not understood, or lacks its value"
        case $1 in
            --service) service=$2 ;;
            --ready) ready=$2 ;;
            --interval) interval=$2 ;;
            *) misuse "'$1' is not understood" ;;
        esac
        shift 2
    done
    need_service
    [[ $ready =~ ^https?://. ]] || misuse "--ready wants a URL such as http://127.0.0.1:9464/readyz, not '$ready'"
    [[ $interval =~ ^[0-9]{1,4}(\.[0-9]{1,3})?$ && $interval =~ [1-9] ]] || misuse "--interval wants seconds such as 0.5, not '$interval'"
    need_net_admin
    local tool
    for tool in ip curl; do
        command -v "$tool" >/dev/null || die "$tool is missing: apt-get install iproute2 curl"
    done
    refuse_elsewhere
    # A second signal, as timeout(1) and an impatient operator send it, must not keep us from it.
    trap 'trap "" INT TERM HUP; withdraw "this script ends"' EXIT
    trap 'exit 0' INT TERM HUP
    withdraw "not asked yet"
    watch "$ready" "$interval"
}

need_service() {
    local byte
    local -a bytes
    IFS=./ read -ra bytes <<<"$service"
    [[ $service =~ ^[0-9]{1,3}(\.[0-9]{1,3}){3}/32$ ]] || misuse "--service wants one address such as 192.0.2.10/32, not '$service'"
    for byte in "${bytes[@]}"; do
        ((10#$byte <= 255)) || misuse "--service wants one address such as 192.0.2.10/32, not '$service'"
    done
}

# The bit CAP_NET_ADMIN of capabilities(7): pollux-announce@.service has it without root.
need_net_admin() {
    local effective
    effective=$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)
    (((16#$effective >> 12) & 1)) || die "needs the capability NET_ADMIN: run it as root, for instance with sudo $0"
}

# On another interface it is not ours to take away.
refuse_elsewhere() {
    local other
    other=$(ip -brief address show to "$service" | awk '$1 != "lo" { print $1; exit }')
    [[ -z $other ]] || die "$service is on $other: ip address del $service dev $other"
}

watch() {
    local status good=0 silent=0
    while true; do
        status=$(curl --noproxy '*' --silent --output /dev/null --max-time "$ANSWER_SECONDS" --write-out '%{http_code}' "$1") || true
        case $status in
            200)
                silent=0 good=$((good + 1))
                [[ $good -lt $RISE ]] || announce
                ;;
            '' | 000)
                good=0 silent=$((silent + 1))
                [[ $silent -lt $FALL ]] || withdraw "$1 does not answer"
                ;;
            *)
                good=0 silent=0
                withdraw "$1 says $status"
                ;;
        esac
        # In the background, so that a signal is heard at once.
        sleep "$interval" &
        wait $!
    done
}

is_announced() { [[ -n $(ip -brief address show dev lo to "$service") ]]; }

announce() {
    is_announced && return
    ip address add "$service" dev lo
    say "announced $service"
}

withdraw() {
    is_announced || return 0
    ip address del "$service" dev lo
    say "withdrew $service: $1"
}

main "$@"
