#!/usr/bin/env bash
# deploy/bench.sh: Pollux on AF_XDP against a peer, as ratios taken in one run on one machine, as root.
#
#   bench.sh [PROFILE] [--rounds N] [--seconds N] [--quick] [-- OPTION...]
#
#   PROFILE      nginx     (default) the shortest answer, against nginx with one worker
#                arena     JSON, compression, SQLite, files, PostgreSQL and all of them mixed, against the
#                          Python server FastPySGI with one process (deploy/peers/fastpysgi_arena.py)
#                postgres  rows of PostgreSQL over HTTP, against pgbench with the same prepared query on
#                          the same server with as many clients
#   --rounds N   rounds, each measuring every load on both sides (default 3)
#   --seconds N  how long one measurement lasts (default 5)
#   --quick      one round of one second (2 with a database): shows that everything runs, the figures
#                mean little
#   -- OPTION... the rest goes to `pollux serve` as it stands
#
# Each server sits at the end of a veth pair of its own, made by link.sh with the same settings, and has
# core 1 to itself (Pollux one worker, the peer one process; the one not measured is stopped). The client,
# wrk, has core 0 and one thread, in the namespace of the pair's other end; what Pollux does beside its
# worker happens there too. PostgreSQL runs where the kernel puts it. Rounds are interleaved: both
# sides take turns load by load, and who begins changes every round.
# What both sides answer is compared first, rows and bytes; on a difference nothing is measured.
# Prints one JSON line per measurement, then a Markdown table of medians; a ratio is the median of the
# rounds' ratios, its spread their least and greatest. Status 1 where a request failed.
# POLLUX_BIN names a binary to measure instead of building one, POLLUX_HUGEPAGES the pages it gets
# (default 512), BENCH_PYTHON a Python that has deploy/peers/requirements.txt (default: a new virtual
# environment, filled from PyPI).

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/say.sh
. "$here/say.sh"
# shellcheck source=deploy/process.sh
. "$here/process.sh"
# shellcheck source=deploy/prerequisites.sh
. "$here/prerequisites.sh"

HUGEPAGES=${POLLUX_HUGEPAGES:-512}
ADDRESS=198.18.0.2
URL=http://$ADDRESS:8080
CLIENT_CORE=0
SERVER_CORE=1
START_SECONDS=30
END_SECONDS=15
SETTLE_SECONDS=0.5
# More than the second after which a client repeats a lost SYN.
ANSWER_SECONDS=5

main() {
    local rounds=3 seconds=5 profile=nginx quick=''
    local -a options=()
    case ${1-} in
        nginx | arena | postgres) profile=$1 && shift ;;
    esac
    while [[ $# -gt 0 ]]; do
        case $1 in
            -h | --help) show_help && exit ;;
            --quick) quick=yes && shift ;;
            --rounds | --seconds)
                [[ $# -ge 2 ]] || misuse "$1 wants a value"
                need_number "$1" "$2"
                [[ $2 -ge 1 ]] || misuse "$1 is at least 1"
                if [[ $1 == --rounds ]]; then rounds=$((10#$2)); else seconds=$((10#$2)); fi
                shift 2
                ;;
            --) options=("${@:2}") && break ;;
            *) misuse "'$1' is not understood; the profiles are nginx, arena and postgres" ;;
        esac
    done
    # shellcheck source=/dev/null # one of bench/nginx.sh, bench/arena.sh, bench/postgres.sh
    . "$here/bench/$profile.sh"
    [[ -z $quick ]] || rounds=1 seconds=$QUICK_SECONDS
    need_root
    [[ $(nproc) -gt $SERVER_CORE ]] || die "needs two cores, one for the client and one for the servers"
    warn_if_busy
    provide_packages "${BUILD_PACKAGES[@]}" "${BENCH_PACKAGES[@]}"
    provide_pollux release
    prepare
    start_both "${options[@]+"${options[@]}"}"
    compare_answers
    measure_all "$rounds" "$seconds"
    print_table
    check_errors
}

warn_if_busy() {
    local load
    read -r load _ </proc/loadavg
    [[ ${load%.*} -lt 1 ]] || warn "this machine is busy (load $load): the figures will spread"
}

# Namespaces carry the process id, so that two benches do not meet.
prepare() {
    scratch=$(mktemp -d)
    # PostgreSQL does not run as root and has its files below.
    chmod 711 "$scratch"
    pollux_side=bench-pollux-$$
    peer_side=bench-peer-$$
    peer_end=bench-end-$$
    pollux_pid=''
    peer_pid=''
    database_pid=''
    trap leave EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    ulimit -Sn "$(ulimit -Hn)"
    "$root/hugepages.sh" reserve "$HUGEPAGES" --owner "bench-$$"
    "$here/link.sh" up --netns "$pollux_side"
}

leave() {
    trap '' INT TERM HUP
    local pid
    for pid in $pollux_pid $peer_pid $database_pid; do
        kill -CONT "$pid" 2>/dev/null || true
        end_process "$pid" "$END_SECONDS"
    done
    "$here/link.sh" down --netns "$pollux_side" || true
    if [[ -e /run/netns/$peer_side ]]; then "$here/link.sh" down --netns "$peer_side" || true; fi
    ip netns del "$peer_end" 2>/dev/null || true
    "$root/hugepages.sh" release --owner "bench-$$" || true
    rm -rf "$scratch"
}

# start_pollux OPTION...
start_pollux() {
    "$here/link.sh" exec --netns "$pollux_side" -- "$binary" serve --link af_xdp:pollux0 \
        --address "$ADDRESS/24" --port 8080 --cores "$SERVER_CORE" "$@" >"$scratch/pollux.log" 2>&1 </dev/null &
    pollux_pid=$!
    await_answer pollux "$pollux_side" "$pollux_pid"
}

# start_peer COMMAND...: on the server's core. A server in the client's namespace would be reached over
# lo: the peer takes the pair's end elsewhere.
start_peer() {
    "$here/link.sh" up --netns "$peer_side"
    ip netns add "$peer_end"
    ip -n "$peer_end" link set lo up
    ip -n "$peer_side" link set pollux0 netns "$peer_end"
    ip -n "$peer_end" address add "$ADDRESS/24" dev pollux0
    ip netns exec "$peer_end" sysctl -qw net.ipv4.conf.pollux0.arp_ignore=0
    # As many at once as Pollux takes.
    ip netns exec "$peer_end" sysctl -qw net.core.somaxconn=16384
    ip -n "$peer_end" link set pollux0 up
    ip netns exec "$peer_end" taskset --cpu-list "$SERVER_CORE" "$@" >"$scratch/peer.log" 2>&1 </dev/null &
    peer_pid=$!
    await_answer peer "$peer_side" "$peer_pid"
}

# await_answer LOG NAMESPACE PID
await_answer() {
    if ! await "$START_SECONDS" "$3" answers "$2"; then
        tail -n 20 "$scratch/$1.log" >&2
        die "$1 does not answer 'ok' on $URL/pipeline in namespace $2: see above"
    fi
}

answers() { [[ $(ip netns exec "$1" curl --noproxy '*' --silent --max-time "$ANSWER_SECONDS" "$URL/pipeline") == ok ]]; }

# LOADS has a line for each: its name in load.lua, the connections, and what the table calls it.
measure_all() {
    local round server order name connections label
    for ((round = 1; round <= $1; round++)); do
        order=(pollux peer)
        [[ $((round % 2)) -eq 1 ]] || order=(peer pollux)
        while read -r name connections label; do
            for server in "${order[@]}"; do
                measure "$server" "$round" "$2" "$name" "$connections" "$label" </dev/null
            done
        done < <(printf '%s\n' "${LOADS[@]}")
    done
}

# measure SERVER ROUND SECONDS NAME CONNECTIONS LABEL: adds a line to the results and prints it as JSON.
measure() {
    local said rate median bytes errors
    take_core "$1"
    said=$("measure_$1" "$3" "$4" "$5") || die "$1 cannot be measured with $6: $said"
    read -r _ rate median bytes errors < <(grep '^measured ' <<<"$said") || die "no figures for $1 with $6: $said"
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$6" "$rate" "$median" "$errors" >>"$scratch/results"
    printf '{"server":"%s","round":%d,"load":"%s","connections":%d,' "${1/peer/$PEER}" "$2" "$6" "$5"
    printf '"requests_per_second":%d,"bytes_per_second":%d,' "$rate" "$bytes"
    printf '"latency_median_us":%d,"errors":%d}\n' "$median" "$errors"
}

measure_pollux() { run_wrk "$pollux_side" "$@"; }

measure_peer() { run_wrk "$peer_side" "$@"; }

# run_wrk NAMESPACE SECONDS NAME CONNECTIONS
run_wrk() {
    answers "$1" || die "no 'ok' on $URL/pipeline in namespace $1"
    BENCH_LOAD=$3 ip netns exec "$1" taskset --cpu-list "$CLIENT_CORE" timeout $(($2 + 30)) \
        wrk --threads 1 --connections "$4" --duration "$2s" --timeout 10s --script "$here/bench/load.lua" "$URL" 2>&1
}

# take_core SERVER: Pollux is stopped while the peer is measured, after it has seen its last connections
# closed. What is sent to a stopped Pollux is lost, the resets of a client that has left included.
take_core() {
    sleep "$SETTLE_SECONDS"
    if [[ $1 == pollux ]]; then kill -CONT "$pollux_pid"; else kill -STOP "$pollux_pid"; fi
}

print_table() {
    local label
    printf '\n| load | Pollux req/s | %s req/s | ratio | spread | Pollux median us | %s median us |\n' "$PEER" "$PEER"
    printf '|---|---:|---:|---:|---|---:|---:|\n'
    while read -r _ _ label; do
        awk -v label="$label" -f "$here/bench/row.awk" "$scratch/results"
    done < <(printf '%s\n' "${LOADS[@]}")
    printf '\nRate and latency are medians over the rounds, on %s with Linux %s.\n' \
        "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(uname -r)"
    print_notes
}

check_errors() {
    local errors
    errors=$(awk -F '\t' '{ sum += $6 } END { print sum + 0 }' "$scratch/results")
    [[ $errors -eq 0 ]] || die "$errors requests failed: the table does not count"
}

main "$@"
