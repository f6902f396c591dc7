#!/usr/bin/env bash
# deploy/bench/idle.sh: what an idle Pollux costs, and what its sleep costs the next request, as root.
#
#   idle.sh [--seconds N] [--requests N] [LINK...]
#
#   LINK          af_xdp, af_packet, tap (default: all three)
#   --seconds N   how long an idle server is watched (default 5)
#   --requests N  requests timed after 100 ms of silence each; ten times as many back to back (default 50)
#
# Every link is measured with cores.idle = adaptive and poll, one worker on core 1, client on core 0, in
# a network namespace of its own. Prints one line each: the share of a core that the process takes while
# nothing comes (the time of all its threads on a processor), and the median latency of a request on an open
# connection back to back and after silence. With "poll" the worker is always awake: what its latency
# grows by after silence is the client's own waking.
# POLLUX_BIN names a binary to measure instead of building one.

set -euo pipefail
bench=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
here=$(dirname "$bench")
# shellcheck source=deploy/say.sh
. "$here/say.sh"
# shellcheck source=deploy/process.sh
. "$here/process.sh"
# shellcheck source=deploy/prerequisites.sh
. "$here/prerequisites.sh"

HUGEPAGES=512
ADDRESS=198.18.0.2
PORT=8080
CLIENT_CORE=0
SERVER_CORE=1
START_SECONDS=30
END_SECONDS=15
# Longer than a worker stays awake, and than the start takes to settle.
SETTLE_SECONDS=1

main() {
    local seconds=5 requests=50 link idle
    local -a links=()
    while [[ $# -gt 0 ]]; do
        case $1 in
            -h | --help) show_help && exit ;;
            --seconds | --requests)
                [[ $# -ge 2 ]] || misuse "$1 wants a value"
                need_number "$1" "$2"
                [[ $2 -ge 1 ]] || misuse "$1 is at least 1"
                if [[ $1 == --seconds ]]; then seconds=$((10#$2)); else requests=$((10#$2)); fi
                shift 2
                ;;
            af_xdp | af_packet | tap) links+=("$1") && shift ;;
            *) misuse "'$1' is not understood; the links are af_xdp, af_packet and tap" ;;
        esac
    done
    [[ ${#links[@]} -gt 0 ]] || links=(af_xdp af_packet tap)
    need_root
    [[ $(nproc) -gt $SERVER_CORE ]] || die "needs two cores, one for the client and one for the server"
    provide_packages "${BUILD_PACKAGES[@]}" python3
    provide_pollux release
    prepare
    printf '| link | idle | share of a core | back to back us | after 100 ms us |\n|---|---|---:|---:|---:|\n'
    for link in "${links[@]}"; do
        for idle in adaptive poll; do
            measure "$link" "$idle" "$seconds" "$requests"
        done
    done
}

prepare() {
    scratch=$(mktemp -d)
    namespace=bench-idle-$$
    pid=''
    trap leave EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    "$root/hugepages.sh" reserve "$HUGEPAGES" --owner "bench-idle-$$" >&2
}

leave() {
    trap '' INT TERM HUP
    [[ -z $pid ]] || end_process "$pid" "$END_SECONDS"
    if [[ -e /run/netns/$namespace ]]; then "$here/link.sh" down --netns "$namespace" >&2 || true; fi
    "$root/hugepages.sh" release --owner "bench-idle-$$" >&2 || true
    rm -rf "$scratch"
}

# measure LINK IDLE SECONDS REQUESTS
measure() {
    local kind=veth name=$1:pollux0 before after busy spaced
    if [[ $1 == tap ]]; then kind=tap name=tap:pollux-host; fi
    "$here/link.sh" up --netns "$namespace" --kind "$kind" >&2
    "$here/link.sh" exec --netns "$namespace" -- "$binary" serve --link "$name" --address "$ADDRESS/24" \
        --port "$PORT" --cores "$SERVER_CORE" --idle "$2" --set "admin.name=bench-idle-$$" \
        >"$scratch/pollux.log" 2>&1 </dev/null &
    pid=$!
    if ! await "$START_SECONDS" "$pid" answers; then
        tail -n 20 "$scratch/pollux.log" >&2
        die "no answer on http://$ADDRESS:$PORT/pipeline over $name: see above"
    fi
    sleep "$SETTLE_SECONDS"
    before=$(process_nanos)
    sleep "$3"
    after=$(process_nanos)
    busy=$(time_requests back-to-back $(($4 * 10)))
    spaced=$(time_requests spaced "$4")
    awk -v link="$1" -v idle="$2" -v nanos=$((after - before)) -v seconds="$3" -v busy="$busy" -v spaced="$spaced" \
        'BEGIN { printf "| %s | %s | %.2f %% | %d | %d |\n", link, idle, nanos / seconds / 1e7, busy, spaced }'
    end_process "$pid" "$END_SECONDS"
    pid=''
    "$here/link.sh" down --netns "$namespace" >&2
}

answers() { [[ $(ip netns exec "$namespace" curl --noproxy '*' --silent --max-time 5 "http://$ADDRESS:$PORT/pipeline") == ok ]]; }

# Nanoseconds that the threads of the server have been on a processor.
process_nanos() {
    local task total=0 nanos
    for task in /proc/"$pid"/task/*; do
        read -r nanos _ <"$task/schedstat"
        total=$((total + nanos))
    done
    printf '%d\n' "$total"
}

# time_requests back-to-back|spaced COUNT
time_requests() {
    ip netns exec "$namespace" taskset --cpu-list "$CLIENT_CORE" timeout 120 \
        python3 "$bench/idle.py" "$ADDRESS" "$PORT" "$@"
}

main "$@"
