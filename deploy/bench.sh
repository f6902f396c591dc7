#!/usr/bin/env bash
# deploy/bench.sh: Pollux on AF_XDP against nginx, as ratios taken in one run on one machine, as root.
#
#   bench.sh [--rounds N] [--seconds N] [--quick] [-- OPTION...]
#
#   --rounds N   rounds, each measuring every load on both servers (default 3)
#   --seconds N  how long one measurement lasts (default 5)
#   --quick      one round of one second: shows that everything runs, the figures mean little
#   -- OPTION... the rest goes to `pollux serve` as it stands
#
# Each server sits at the end of a veth pair of its own, made by link.sh with the same settings, and has
# core 1 to itself (Pollux one worker, nginx one worker process; the one not measured is stopped).
# The client, wrk, has core 0 and one thread, in the namespace of the pair's other end. Rounds are interleaved:
# Pollux and nginx take turns load by load, and who begins changes every round.
# Prints one JSON line per measurement, then a Markdown table of medians; a ratio is the median of the
# rounds' ratios, its spread their least and greatest. Status 1 where a request failed.
# POLLUX_BIN names a binary to measure instead of building one, POLLUX_HUGEPAGES the pages it gets
# (default 512).

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
URL=http://$ADDRESS:8080/pipeline
BODY=ok
CLIENT_CORE=0
SERVER_CORE=1
# Connections and requests sent ahead on each.
LOADS=("1 1" "64 1" "512 1" "512 16")
START_SECONDS=30
END_SECONDS=15
SETTLE_SECONDS=0.5
# More than the second after which a client repeats a lost SYN.
ANSWER_SECONDS=5

main() {
    local rounds=3 seconds=5
    local -a options=()
    while [[ $# -gt 0 ]]; do
        case $1 in
            -h | --help) show_help && exit ;;
            --quick) rounds=1 seconds=1 && shift ;;
            --rounds | --seconds)
                [[ $# -ge 2 ]] || misuse "$1 wants a value"
                need_number "$1" "$2"
                [[ $2 -ge 1 ]] || misuse "$1 is at least 1"
                if [[ $1 == --rounds ]]; then rounds=$((10#$2)); else seconds=$((10#$2)); fi
                shift 2
                ;;
            --) options=("${@:2}") && break ;;
            *) misuse "'$1' is not understood" ;;
        esac
    done
    need_root
    [[ $(nproc) -gt $SERVER_CORE ]] || die "needs two cores, one for the client and one for the servers"
    warn_if_busy
    provide_packages "${BUILD_PACKAGES[@]}" "${BENCH_PACKAGES[@]}"
    provide_pollux release
    prepare
    start_pollux "${options[@]+"${options[@]}"}"
    start_nginx
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
    pollux_side=bench-pollux-$$
    nginx_side=bench-nginx-$$
    nginx_end=bench-end-$$
    pollux_pid=''
    nginx_pid=''
    trap leave EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    ulimit -Sn "$(ulimit -Hn)"
    write_wrk_script
    "$root/hugepages.sh" reserve "$HUGEPAGES" --owner "bench-$$"
    "$here/link.sh" up --netns "$pollux_side"
    "$here/link.sh" up --netns "$nginx_side"
}

leave() {
    trap '' INT TERM HUP
    if [[ -n $pollux_pid ]]; then
        kill -CONT "$pollux_pid" 2>/dev/null || true
        end_process "$pollux_pid" "$END_SECONDS"
    fi
    [[ -z $nginx_pid ]] || end_process "$nginx_pid" "$END_SECONDS"
    "$here/link.sh" down --netns "$pollux_side" || true
    "$here/link.sh" down --netns "$nginx_side" || true
    ip netns del "$nginx_end" 2>/dev/null || true
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

# A server in the client's namespace would be reached over lo: nginx takes the pair's end elsewhere.
start_nginx() {
    ip netns add "$nginx_end"
    ip -n "$nginx_end" link set lo up
    ip -n "$nginx_side" link set pollux0 netns "$nginx_end"
    ip -n "$nginx_end" address add "$ADDRESS/24" dev pollux0
    ip netns exec "$nginx_end" sysctl -qw net.ipv4.conf.pollux0.arp_ignore=0
    ip -n "$nginx_end" link set pollux0 up
    write_nginx_config
    ip netns exec "$nginx_end" nginx -p "$scratch" -c "$scratch/nginx.conf" >"$scratch/nginx.log" 2>&1 </dev/null &
    nginx_pid=$!
    await_answer nginx "$nginx_side" "$nginx_pid"
}

write_nginx_config() {
    cat >"$scratch/nginx.conf" <<NGINX
daemon off;
user root;
worker_processes 1;
worker_cpu_affinity 1$(printf '0%.0s' $(seq "$SERVER_CORE"));
error_log stderr warn;
pid $scratch/nginx.pid;
events { worker_connections 2048; multi_accept on; }
http {
    access_log off;
    client_body_temp_path $scratch/body;
    proxy_temp_path $scratch/proxy;
    fastcgi_temp_path $scratch/fastcgi;
    uwsgi_temp_path $scratch/uwsgi;
    scgi_temp_path $scratch/scgi;
    default_type text/plain;
    keepalive_requests 1000000000;
    keepalive_timeout 300s;
    server {
        listen $ADDRESS:8080 backlog=4096;
        location = /pipeline { return 200 "$BODY"; }
    }
}
NGINX
}

# wrk calls request() for every batch only where requests go out several at a time.
write_wrk_script() {
    cat >"$scratch/wrk.lua" <<'LUA'
local depth = tonumber(os.getenv("BENCH_DEPTH"))
if depth > 1 then
    local batch
    init = function()
        local requests = {}
        for i = 1, depth do requests[i] = wrk.format("GET") end
        batch = table.concat(requests)
    end
    request = function() return batch end
end
done = function(summary, latency)
    local e = summary.errors
    print(string.format("measured %.0f %.0f %d", summary.requests * 1e6 / summary.duration,
        latency:percentile(50), e.connect + e.read + e.write + e.status + e.timeout))
end
LUA
}

# await_answer SERVER NAMESPACE PID
await_answer() {
    if ! await "$START_SECONDS" "$3" answers "$2"; then
        tail -n 20 "$scratch/$1.log" >&2
        die "$1 does not answer '$BODY' on $URL in namespace $2: see above"
    fi
}

answers() { [[ $(ip netns exec "$1" curl --silent --max-time "$ANSWER_SECONDS" "$URL") == "$BODY" ]]; }

measure_all() {
    local round load order
    for ((round = 1; round <= $1; round++)); do
        order=(pollux nginx)
        [[ $((round % 2)) -eq 1 ]] || order=(nginx pollux)
        for load in "${LOADS[@]}"; do
            for server in "${order[@]}"; do
                # shellcheck disable=SC2086 # a load is two words
                measure "$server" "$round" "$2" $load
            done
        done
    done
}

# measure SERVER ROUND SECONDS CONNECTIONS DEPTH: adds a line to the results and prints it as JSON.
measure() {
    local side=$pollux_side said rate median errors
    [[ $1 == pollux ]] || side=$nginx_side
    take_core "$1"
    answers "$side" || die "$1 answers something other than '$BODY' on $URL"
    said=$(BENCH_DEPTH=$5 ip netns exec "$side" taskset --cpu-list "$CLIENT_CORE" \
        timeout $(($3 + 30)) wrk --threads 1 --connections "$4" --duration "$3s" --script "$scratch/wrk.lua" "$URL") ||
        die "wrk failed: $said"
    read -r _ rate median errors < <(grep '^measured ' <<<"$said") || die "wrk said no figures: $said"
    printf '%s %s %s %s %s %s %s\n' "$1" "$2" "$4" "$5" "$rate" "$median" "$errors" >>"$scratch/results"
    printf '{"server":"%s","round":%d,"connections":%d,"pipelined":%d,' "$1" "$2" "$4" "$5"
    printf '"requests_per_second":%d,"latency_median_us":%d,"errors":%d}\n' "$rate" "$median" "$errors"
}

# take_core SERVER: the other one is stopped, after it has seen its last connections closed. What is sent
# to a stopped Pollux is lost, the resets of a client that has left included.
take_core() {
    sleep "$SETTLE_SECONDS"
    if [[ $1 == pollux ]]; then kill -CONT "$pollux_pid"; else kill -STOP "$pollux_pid"; fi
}

print_table() {
    local load
    printf '\n| load | Pollux req/s | nginx req/s | ratio | spread | Pollux median us | nginx median us |\n'
    printf '|---|---:|---:|---:|---|---:|---:|\n'
    for load in "${LOADS[@]}"; do
        # shellcheck disable=SC2086 # a load is two words
        print_row $load
    done
    printf '\nRate and latency are medians over the rounds, on %s with Linux %s.\n' \
        "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(uname -r)"
}

# print_row CONNECTIONS DEPTH
print_row() {
    awk -v connections="$1" -v depth="$2" '
        function sort_in_place(a, n,   i, j, t) {
            for (i = 2; i <= n; i++) {
                t = a[i]
                for (j = i - 1; j >= 1 && a[j] > t; j--) a[j + 1] = a[j]
                a[j + 1] = t
            }
        }
        function median(a, n) {
            sort_in_place(a, n)
            return n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2
        }
        $3 == connections && $4 == depth { rate[$1, $2] = $5; late[$1, $2] = $6; if ($2 > n) n = $2 }
        END {
            for (i = 1; i <= n; i++) {
                p[i] = rate["pollux", i]; q[i] = rate["nginx", i]; r[i] = p[i] / (q[i] ? q[i] : 1)
                s[i] = late["pollux", i]; t[i] = late["nginx", i]
            }
            name = connections (connections == 1 ? " connection" : " connections")
            if (depth > 1) name = name ", pipelined " depth " deep"
            printf "| %s | %d | %d | %.2f | ", name, median(p, n), median(q, n), median(r, n)
            printf "%.2f to %.2f | %d | %d |\n", r[1], r[n], median(s, n), median(t, n)
        }' "$scratch/results"
}

check_errors() {
    local errors
    errors=$(awk '{ sum += $7 } END { print sum + 0 }' "$scratch/results")
    [[ $errors -eq 0 ]] || die "$errors requests failed: the table does not count"
}

main "$@"
