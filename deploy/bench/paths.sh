#!/usr/bin/env bash
# deploy/bench/paths.sh: how long transfers take on bad paths, Pollux over AF_XDP beside nginx, in one run, as root.
#
#   paths.sh [--repeat N] [--quick] [--congestion NAME]
#
#   --repeat N          transfers of each row and server, of which the median is printed (default 5)
#   --quick             one transfer of each row, without the long ones: shows that everything runs
#   --congestion NAME   the kernel's congestion control, nginx's and the clients' (default cubic, which is Linux's; this
#                       machine's may be another)
#
# Each server sits at the end of a veth pair made by link.sh; between that and the client's namespace the bridge of the
# test kit spoils what passes (dataplane/testkit/examples/bridge.rs). Both see the same settings and the same seed, in
# turns. Server on core 1, client and bridge on core 0; the server not measured is idle. curl's total time, the
# handshake included. Rows: the first data segments lost, once each; random loss of frames towards the client, without
# delay and with 20 ms of round trip; a round trip of 50 ms, without loss; a hop of MTU 1400 that sends ICMP.
# Prints a Markdown table of medians in milliseconds; a ratio is Pollux's time by nginx's. A transfer that fails, or takes
# longer than 240 s, is shown as such.
# POLLUX_BIN names a binary to measure instead of building one, BRIDGE_BIN a bridge.

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
HOST=198.18.0.1/24
URL=http://$ADDRESS:8080
CLIENT_CORE=0
SERVER_CORE=1
START_SECONDS=30
END_SECONDS=15
TRANSFER_SECONDS=240
UPLOAD=20
congestion=cubic
# Label, what is asked for, settings to the server, settings to the client, whether --quick has it.
ROWS=(
    "1 MiB, no fault|1|||quick"
    "1 MiB, first data segment lost|1||lose-data=1|quick"
    "1 MiB, first 2 lost|1||lose-data=1-2|quick"
    "1 MiB, first 3 lost|1||lose-data=1-3|quick"
    "1 MiB, first 5 lost|1||lose-data=1-5|quick"
    "1 MiB, first 8 lost|1||lose-data=1-8|quick"
    "1 MiB, 1 % lost|1||loss=1%|quick"
    "1 MiB, 3 % lost|1||loss=3%|quick"
    "1 MiB, 10 % lost|1||loss=10%|"
    "10 MiB, 20 ms, 0.1 % lost|10|delay=10ms|delay=10ms,loss=0.1%|"
    "10 MiB, 20 ms, 1 % lost|10|delay=10ms|delay=10ms,loss=1%|"
    "64 MiB down, 50 ms|64|delay=25ms|delay=25ms|"
    "$UPLOAD MiB up, 50 ms|up|delay=25ms|delay=25ms|"
    "1 MiB, MTU 1400 with ICMP|1||mtu=1400,icmp-from=198.18.0.99|"
)

main() {
    local repeat=5 quick='' available row label what there back is_quick
    while [[ $# -gt 0 ]]; do
        case $1 in
            -h | --help) show_help && exit ;;
            --quick) quick=yes repeat=1 && shift ;;
            --congestion)
                [[ $# -ge 2 ]] || misuse "$1 wants a value"
                congestion=$2
                shift 2
                ;;
            --repeat)
                [[ $# -ge 2 ]] || misuse "$1 wants a value"
                need_number "$1" "$2"
                [[ $2 -ge 1 ]] || misuse "$1 is at least 1"
                repeat=$((10#$2))
                shift 2
                ;;
            *) misuse "'$1' is not understood" ;;
        esac
    done
    need_root
    [[ $(nproc) -gt $SERVER_CORE ]] || die "needs two cores, one for the client and one for the servers"
    available=$(</proc/sys/net/ipv4/tcp_available_congestion_control)
    [[ " $available " == *" $congestion "* ]] ||
        die "--congestion $congestion: this kernel has $available: name one of those, or load its module"
    provide_packages "${BUILD_PACKAGES[@]}" nginx
    provide_pollux release
    provide_bridge
    prepare
    start_pollux
    start_nginx
    printf '| path | nginx (%s) ms | Pollux ms | ratio |\n|---|---:|---:|---:|\n' "$congestion"
    for row in "${ROWS[@]}"; do
        IFS='|' read -r label what there back is_quick <<<"$row"
        [[ -z $quick || -n $is_quick ]] || continue
        measure "$repeat" "$label" "$what" "$there" "$back"
    done
}

provide_bridge() {
    bridge=${BRIDGE_BIN:-${CARGO_TARGET_DIR:-$root/target}/release/examples/bridge}
    if [[ -n ${BRIDGE_BIN:-} ]]; then
        [[ -x $bridge ]] || die "BRIDGE_BIN=$bridge is not a program"
        return
    fi
    provide_rust
    (cd "$root" && cargo build --release --locked -p testkit --example bridge) || die "the build failed: see above"
}

prepare() {
    local side
    scratch=$(mktemp -d)
    chmod 711 "$scratch"
    pollux_side=paths-pollux-$$
    nginx_side=paths-nginx-$$
    nginx_end=paths-end-$$
    pids=()
    bridge_pid=''
    trap leave EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    mkfifo "$scratch/never-ends"
    exec 9<>"$scratch/never-ends"
    "$binary" sample "$scratch/data" >&2
    for what in 1 10 64; do head -c "${what}M" /dev/urandom >"$scratch/data/static/$what.bin"; done
    head -c "${UPLOAD}M" /dev/urandom >"$scratch/upload"
    "$root/hugepages.sh" reserve "$HUGEPAGES" --owner "paths-$$" >&2
    for side in "$pollux_side" "$nginx_side"; do make_side "$side"; done
}

# make_side NAMESPACE: the link, and the client's namespace to be bridged to it.
make_side() {
    local device
    "$here/link.sh" up --netns "$1" >&2
    ip netns add "$1-client"
    ip -n "$1" link add client-link type veth peer name far-client
    ip netns exec "$1" sysctl -qw net.ipv6.conf.client-link.disable_ipv6=1 net.ipv6.conf.far-client.disable_ipv6=1
    for device in tx gso tso gro; do
        ip netns exec "$1" ethtool -K far-client "$device" off >/dev/null 2>&1 || true
    done
    ip -n "$1" address del "$HOST" dev pollux-host
    ip -n "$1" link set far-client netns "$1-client"
    ip -n "$1-client" address add "$HOST" dev far-client
    ip -n "$1-client" link set far-client up
    # What one transfer has learned of the path must not help the next one.
    ip netns exec "$1-client" sysctl -qw net.ipv4.tcp_no_metrics_save=1
    set_congestion "$1-client" far-client
}

# set_congestion NAMESPACE DEVICE: by the route. The sysctl of a namespace takes only what the machine allows everybody.
set_congestion() {
    ip -n "$1" route replace "${HOST%.*}.0/24" dev "$2" congctl "$congestion"
}

leave() {
    trap '' INT TERM HUP
    local pid side
    for pid in $bridge_pid "${pids[@]+"${pids[@]}"}"; do end_process "$pid" "$END_SECONDS"; done
    for side in "$pollux_side" "$nginx_side"; do
        if [[ -e /run/netns/$side-client ]]; then ip netns del "$side-client"; fi
        if [[ -e /run/netns/$side ]]; then "$here/link.sh" down --netns "$side" >&2 || true; fi
    done
    if [[ -e /run/netns/$nginx_end ]]; then ip netns del "$nginx_end"; fi
    "$root/hugepages.sh" release --owner "paths-$$" >&2 || true
    rm -rf "$scratch"
}

start_pollux() {
    "$here/link.sh" exec --netns "$pollux_side" -- "$binary" serve --config "$here/arena.toml" --data "$scratch/data" \
        --link af_xdp:pollux0 --address "$ADDRESS/24" --port 8080 --cores "$SERVER_CORE" \
        --set "admin.name=paths-$$" >"$scratch/pollux.log" 2>&1 </dev/null &
    pids+=($!)
    await_answer pollux "$pollux_side" $!
}

start_nginx() {
    ip netns add "$nginx_end"
    ip -n "$nginx_side" link set pollux0 netns "$nginx_end"
    ip -n "$nginx_end" address add "$ADDRESS/24" dev pollux0
    ip netns exec "$nginx_end" sysctl -qw net.ipv4.conf.pollux0.arp_ignore=0 net.ipv4.tcp_no_metrics_save=1
    ip -n "$nginx_end" link set pollux0 up
    set_congestion "$nginx_end" pollux0
    cat >"$scratch/nginx.conf" <<NGINX
daemon off;
user root;
worker_processes 1;
error_log stderr warn;
pid $scratch/nginx.pid;
events { worker_connections 256; }
http {
    access_log off;
    client_max_body_size 1g;
    client_body_temp_path $scratch/body;
    proxy_temp_path $scratch/proxy;
    fastcgi_temp_path $scratch/fastcgi;
    uwsgi_temp_path $scratch/uwsgi;
    scgi_temp_path $scratch/scgi;
    sendfile on;
    server {
        listen $ADDRESS:8080;
        location = /pipeline { return 200 "ok"; }
        location /static/ { root $scratch/data; }
        # Passed on, so that all of the body is taken before the answer.
        location = /upload { proxy_pass http://unix:$scratch/taken; }
    }
    server {
        listen unix:$scratch/taken;
        location / { return 200 "ok"; }
    }
}
NGINX
    ip netns exec "$nginx_end" taskset --cpu-list "$SERVER_CORE" nginx -p "$scratch" -c "$scratch/nginx.conf" \
        >"$scratch/nginx.log" 2>&1 </dev/null &
    pids+=($!)
    await_answer nginx "$nginx_side" $!
}

# await_answer SERVER NAMESPACE PID: over a bridge that does nothing.
await_answer() {
    start_bridge "$2" '' '' 1
    await "$START_SECONDS" "$3" answers "$2" || {
        tail -n 20 "$scratch/$1.log" >&2
        die "$1 does not answer 'ok' on $URL/pipeline in namespace $2-client: see above"
    }
    stop_bridge
}

answers() { [[ $(ip netns exec "$1-client" curl --noproxy '*' --silent --max-time 5 "$URL/pipeline") == ok ]]; }

# start_bridge NAMESPACE TO_SERVER TO_CLIENT SEED
start_bridge() {
    : >"$scratch/bridge.log"
    ip netns exec "$1" taskset --cpu-list "$CLIENT_CORE" "$bridge" client-link pollux-host \
        --to-right "$2" --to-left "$3" --seed "$4" >"$scratch/bridge.log" 2>&1 <&9 &
    bridge_pid=$!
    await 10 "$bridge_pid" grep -q '^ready' "$scratch/bridge.log" ||
        die "the bridge in $1 does not start: $(<"$scratch/bridge.log")"
}

stop_bridge() {
    end_process "$bridge_pid" "$END_SECONDS"
    bridge_pid=''
}

# measure REPEAT LABEL WHAT TO_SERVER TO_CLIENT
measure() {
    local round side nginx pollux
    : >"$scratch/$nginx_side"
    : >"$scratch/$pollux_side"
    for ((round = 1; round <= $1; round++)); do
        for side in "$nginx_side" "$pollux_side"; do
            start_bridge "$side" "$4" "$5" "$round"
            transfer "$side" "$3" >>"$scratch/$side"
            stop_bridge
        done
    done
    nginx=$(median "$nginx_side")
    pollux=$(median "$pollux_side")
    awk -v label="$2" -v nginx="$nginx" -v pollux="$pollux" 'BEGIN {
        ratio = nginx == "failed" || pollux == "failed" ? "" : sprintf("%.1f", pollux / nginx)
        printf "| %s | %s | %s | %s |\n", label, nginx, pollux, ratio
    }'
}

# transfer NAMESPACE WHAT: prints milliseconds, or "failed".
transfer() {
    local -a options=("$URL/static/$2.bin")
    if [[ $2 == up ]]; then options=(--header Expect: --data-binary "@$scratch/upload" "$URL/upload"); fi
    ip netns exec "$1-client" taskset --cpu-list "$CLIENT_CORE" curl --noproxy '*' --silent --fail --output /dev/null \
        --max-time "$TRANSFER_SECONDS" --write-out '%{time_total}\n' "${options[@]}" >"$scratch/time" ||
        { echo failed && return; }
    awk '{ printf "%.1f\n", $1 * 1000 }' "$scratch/time"
}

# The middle one of the lines; a failure counts as longer than any time.
median() {
    sed 's/failed/999999999/' "$scratch/$1" | sort -n |
        awk '{ t[NR] = $1 } END { middle = t[int((NR + 1) / 2)]; print middle == 999999999 ? "failed" : middle }'
}

main "$@"
