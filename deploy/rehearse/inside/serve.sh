# shellcheck shell=bash
# Sourced in the virtual machine: a server on the bound port, and what it must show.
# shellcheck disable=SC2034,SC2154 # set or used by steps.sh and the files it sources

READY_SECONDS=60
LOG=/tmp/serve.log
SPREAD_FETCHES=32
SERVE=(pollux serve --config deploy/site.toml --link "pci:$PORT" --address "$POLLUX_ADDRESS/24"
    --set limits.connections=1024)

# start_server: sets `server`. With a worker on each core, naps leave the control plane time.
start_server() {
    "${SERVE[@]}" --cores "0-$((WORKERS - 1))" --idle adaptive >"$LOG" 2>&1 &
    server=$!
    await "$READY_SECONDS" is_ready_or_gone
    cat "$LOG"
    is_ready
}

is_ready() { grep -q ' ready: ' "$LOG"; }

is_ready_or_gone() { is_ready || ! kill -0 "$server" 2>/dev/null; }

# offloads_checksums: whether the server said that the NIC fills checksums in.
offloads_checksums() { grep -q 'tx_checksum_offload=true' "$LOG"; }

serve_and_stop() {
    check "serve on pci:$PORT with $WORKERS workers" start_server
    ask fetch "$POLLUX_ADDRESS"
    if offloads_checksums; then ask capture "$POLLUX_ADDRESS" offloaded; else ask capture "$POLLUX_ADDRESS" filled; fi
    ask spread "$POLLUX_ADDRESS" "$SPREAD_FETCHES"
    pollux stats >/tmp/stats
    cat /tmp/stats
    check "stats: frames of the NIC are counted" nic_counts
    check "stats: no frame dropped" grep -A1 '^DROPPED' /tmp/stats
    check_spread
    check "drain" pollux drain
    ask refused "$POLLUX_ADDRESS"
    check "stop" pollux stop
    check "the server exits with 0" wait "$server"
}

# nic_counts: in the table NIC, received and sent frames are many.
nic_counts() {
    local direction
    for direction in rx tx; do
        awk -v name="$direction" '$1 == name && $2 == "frames" { found = $3 + 0 > 0 } END { exit !found }' /tmp/stats || return 1
    done
}

# busy_workers: how many workers have served requests, of the table CORE.
busy_workers() {
    awk '/^CORE / { table = 1; next } !NF { table = 0 } table && $1 ~ /^[0-9]+$/ && $6 > 0 { count++ } END { print count + 0 }' /tmp/stats
}

# check_spread: flows reach every worker where the NIC has the queues, or Pollux hands them out in software.
check_spread() {
    local busy
    busy=$(busy_workers)
    note "$busy of $WORKERS workers have served requests: $(grep -o 'took pci.*, a worker each\|software spreader' "$LOG" | tail -n 1)"
    check "flows reach $SPREAD_OVER of $WORKERS workers" test "$busy" -eq "$SPREAD_OVER"
}
