#!/usr/bin/env bash
# deploy/bench/flood.sh: what a flood of SYNs does to a Pollux over AF_XDP, as root.
#
#   flood.sh [--seconds N] [--rounds N]
#
#   --seconds N   how long each flood lasts (default 20)
#   --rounds N    pairs of floods against established connections (default 3)
#
# The flood comes from made-up addresses, as many SYNs as one core can send beside the clients
# (dataplane/testkit/examples/flood.rs). Server on core 1; clients and flood on core 0. Measured are
# - 200 new connections a second: how many are answered within a second of their first SYN, with and without the flood;
# - the rate of wrk on 64 connections during the flood, by its rate during the same flood with wrong checksums, which the
#   server drops unread: in turns, and the medians compared. What is left is what SYNs cost others.
# Prints a line for each, and what the server counted of it.
# POLLUX_BIN names a binary to measure instead of building one, FLOOD_BIN a flood.

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
RATE=200
CONNECTIONS=64
START_SECONDS=30
END_SECONDS=15

main() {
    local seconds=20 rounds=3
    while [[ $# -gt 0 ]]; do
        case $1 in
            -h | --help) show_help && exit ;;
            --seconds | --rounds)
                [[ $# -ge 2 ]] || misuse "$1 wants a value"
                need_number "$1" "$2"
                [[ $2 -ge 1 ]] || misuse "$1 is at least 1"
                if [[ $1 == --seconds ]]; then seconds=$((10#$2)); else rounds=$((10#$2)); fi
                shift 2
                ;;
            *) misuse "'$1' is not understood" ;;
        esac
    done
    need_root
    [[ $(nproc) -gt $SERVER_CORE ]] || die "needs two cores, one for clients and flood and one for the server"
    provide_packages "${BUILD_PACKAGES[@]}" python3 wrk
    provide_pollux release
    provide_flood
    prepare
    start_pollux
    new_connections "$seconds"
    established_connections "$seconds" "$rounds"
    "$binary" stats --name "flood-$$" --json >"$scratch/stats"
    say "counted by the server: $(counted syn_cookies_sent syn_cookies_accepted drop_half_open_full connections_established)"
}

provide_flood() {
    flood=${FLOOD_BIN:-${CARGO_TARGET_DIR:-$root/target}/release/examples/flood}
    if [[ -n ${FLOOD_BIN:-} ]]; then
        [[ -x $flood ]] || die "FLOOD_BIN=$flood is not a program"
        return
    fi
    provide_rust
    (cd "$root" && cargo build --release --locked -p testkit --example flood) || die "the build failed: see above"
}

prepare() {
    scratch=$(mktemp -d)
    namespace=bench-flood-$$
    pid=''
    flood_pid=''
    trap leave EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    "$root/hugepages.sh" reserve "$HUGEPAGES" --owner "flood-$$" >&2
    "$here/link.sh" up --netns "$namespace" >&2
}

leave() {
    trap '' INT TERM HUP
    local process
    for process in $flood_pid $pid; do end_process "$process" "$END_SECONDS"; done
    if [[ -e /run/netns/$namespace ]]; then "$here/link.sh" down --netns "$namespace" >&2 || true; fi
    "$root/hugepages.sh" release --owner "flood-$$" >&2 || true
    rm -rf "$scratch"
}

start_pollux() {
    "$here/link.sh" exec --netns "$namespace" -- "$binary" serve --link af_xdp:pollux0 --address "$ADDRESS/24" \
        --port "$PORT" --cores "$SERVER_CORE" --set "admin.name=flood-$$" >"$scratch/pollux.log" 2>&1 </dev/null &
    pid=$!
    await "$START_SECONDS" "$pid" answers || {
        tail -n 20 "$scratch/pollux.log" >&2
        die "no answer on http://$ADDRESS:$PORT/pipeline: see above"
    }
    mac=$(ip -n "$namespace" neigh show "$ADDRESS" | sed -n 's/.* lladdr \([^ ]*\) .*/\1/p')
    [[ -n $mac ]] || die "the kernel knows no link address of $ADDRESS: $(ip -n "$namespace" neigh show)"
}

answers() { [[ $(client curl --noproxy '*' --silent --max-time 5 "http://$ADDRESS:$PORT/pipeline") == ok ]]; }

client() { ip netns exec "$namespace" taskset --cpu-list "$CLIENT_CORE" "$@"; }

# start_flood SECONDS [--wrong-checksums]
start_flood() {
    client "$flood" pollux-host "$mac" "$ADDRESS:$PORT" "$@" >"$scratch/flood" &
    flood_pid=$!
}

# end_flood SECONDS: sets syns, how many left in a second.
end_flood() {
    wait "$flood_pid" || die "the flood has failed: see above"
    flood_pid=''
    syns=$(($(<"$scratch/flood") / $1))
}

# new_connections SECONDS
new_connections() {
    local alone during syns
    alone=$(open_connections "$1")
    start_flood "$1"
    during=$(open_connections "$1")
    end_flood "$1"
    say "new connections answered within a second: $alone without a flood, $during beside $syns SYN/s"
}

open_connections() {
    local served opened
    read -r served opened < <(client timeout $(($1 + 30)) python3 "$bench/flood.py" "$ADDRESS" "$PORT" "$1" "$RATE")
    printf '%s of %s (%s %%)\n' "$served" "$opened" "$(awk "BEGIN { printf \"%.1f\", 100 * $served / $opened }")"
}

# established_connections SECONDS ROUNDS
established_connections() {
    local round kind syns
    for ((round = 1; round <= $2; round++)); do
        for kind in right wrong; do
            if [[ $kind == right ]]; then start_flood "$1"; else start_flood "$1" --wrong-checksums; fi
            load "$1" >>"$scratch/$kind"
            end_flood "$1"
            say "round $round, $kind checksums: $(tail -n 1 "$scratch/$kind") requests/s beside $syns SYN/s"
        done
    done
    say "established connections: $(awk "BEGIN { printf \"%.3f\", $(median right) / $(median wrong) }") of the rate beside a flood that is dropped unread"
}

# load SECONDS: prints requests a second.
load() {
    client timeout $(($1 + 30)) wrk --threads 1 --connections "$CONNECTIONS" --duration "$1s" \
        "http://$ADDRESS:$PORT/pipeline" | sed -n 's/^Requests\/sec: *//p'
}

# median FILE: of its lines.
median() { sort -n "$scratch/$1" | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'; }

# counted NAME...: what the server counted.
counted() {
    python3 - "$scratch/stats" "$@" <<'PYTHON'
import json, sys
total = json.load(open(sys.argv[1]))["total"]
print(", ".join(f"{name} {total[name]}" for name in sys.argv[2:]))
PYTHON
}

main "$@"
