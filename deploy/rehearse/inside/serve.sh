# shellcheck shell=bash
# Sourced in the virtual machine: a server on the bound port, and what it must show.
# shellcheck disable=SC2034,SC2154 # set or used by steps.sh and the files it sources

READY_SECONDS=60
LOG=/tmp/serve.log
STATISTICS=/tmp/statistics
SPREAD_FETCHES=32
# The kernel's interface beside Pollux, and where a server of the kernel's answers on it.
EXCEPTION=kernel0
KERNEL_PORT_NUMBER=2222
SERVE=(pollux serve --config deploy/site.toml --link "pci:$PORT" --address "$POLLUX_ADDRESS/24"
    --set limits.connections=1024)

# start_server OPTION...: sets `server`. With a worker on each core, naps leave the control plane time.
start_server() {
    # The words of the server before are not taken for this one's.
    : >"$LOG"
    "${SERVE[@]}" --cores "0-$((WORKERS - 1))" --idle adaptive "$@" >>"$LOG" 2>&1 &
    server=$!
    await "$READY_SECONDS" is_ready_or_gone
    cat "$LOG"
    is_ready
}

is_ready() { grep -q ' ready: ' "$LOG"; }

is_ready_or_gone() { is_ready || ! kill -0 "$server" 2>/dev/null; }

# handed_over: what the server said that it leaves to the NIC: "segmented" is checksums and segmentation,
# "offloaded" checksums alone, "filled" nothing.
handed_over() {
    if grep -q 'tx_segmentation_max=[1-9]' "$LOG"; then
        echo segmented
    elif grep -q 'tx_checksum_offload=true' "$LOG"; then
        echo offloaded
    else
        echo filled
    fi
}

# take_statistics: for `counter`, until they are taken again. A run of pollux costs seconds in here.
take_statistics() {
    pollux stats --json | tr ',{}' '\n' >"$STATISTICS"
    pollux stats >/tmp/stats
    cat /tmp/stats
}

# counter NAME: its value at the last `take_statistics`, added up over the workers.
counter() { sed -n "s/^ *\"$1\": *\([0-9]*\).*/\1/p" "$STATISTICS" | sort -n | tail -n 1; }

serve_and_stop() {
    check "modprobe tun" modprobe tun
    check "serve on pci:$PORT with $WORKERS workers" start_server --exception "$EXCEPTION"
    ask fetch "$POLLUX_ADDRESS"
    ask capture "$POLLUX_ADDRESS" "$(handed_over)"
    ask spread "$POLLUX_ADDRESS" "$SPREAD_FETCHES"
    take_statistics
    if [[ $(handed_over) == segmented ]]; then
        check "stats: large packets are left to the NIC" test "$(counter tx_large_packets)" -gt 0
        check "stats: no large packet was refused" test "$(counter nic_tx_segmentation_refused)" -eq 0
    fi
    check "stats: frames of the NIC are counted" nic_counts
    check "stats: no frame was lost for want of room" loses_nothing
    check_spread
    reach_kernel
    check "drain" pollux drain
    ask refused "$POLLUX_ADDRESS"
    check "stop" pollux stop
    check "the server exits with 0" wait "$server"
    check_fails "exception: the interface goes with the server" "does not exist" ip link show dev "$EXCEPTION"
    serve_without_offloads
}

# reach_kernel: the kernel answers beside Pollux, at the same address on the same NIC, and reaches out.
reach_kernel() {
    check "exception: the kernel has $POLLUX_ADDRESS" has_address "$EXCEPTION" "$POLLUX_ADDRESS"
    httpd -p "$POLLUX_ADDRESS:$KERNEL_PORT_NUMBER" -h /srv/www
    ask reach_kernel "$POLLUX_ADDRESS" "$KERNEL_PORT_NUMBER"
    check "exception: the kernel reaches out" ping -c 1 -w 10 -q "$CLIENT_ADDRESS"
    take_statistics
    check "stats: frames went to the kernel" test "$(counter exception_rx_frames)" -gt 0
    check "stats: frames of the kernel went out" test "$(counter exception_tx_frames)" -gt 0
    pkill httpd
}

# serve_without_offloads: the same bytes, with everything done by Pollux.
serve_without_offloads() {
    check "serve with link.offloads=off" start_server --set link.offloads=off
    check "nothing is left to the NIC" test "$(handed_over)" = filled
    ask fetch "$POLLUX_ADDRESS"
    ask capture "$POLLUX_ADDRESS" filled
    check "stop without offloads" pollux stop
    check "the server without offloads exits with 0" wait "$server"
}

# loses_nothing: whether every counter of frames that found no room is 0.
loses_nothing() {
    local name lost
    for name in nic_rx_ring_full nic_rx_multi_segment drop_no_tx_buffer reply_no_tx_buffer drop_exception_ring_full exception_tx_ring_full; do
        lost=$(counter "$name")
        [[ $lost == 0 ]] || { echo "$name is '$lost'" && return 1; }
    done
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
    note "$busy of $WORKERS workers have served requests: $(grep -o 'took pci.*, a worker each\|software steering' "$LOG" | tail -n 1)"
    check "flows reach $SPREAD_OVER of $WORKERS workers" test "$busy" -eq "$SPREAD_OVER"
}
