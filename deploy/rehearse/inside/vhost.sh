# shellcheck shell=bash
# Sourced in the virtual machine: Pollux serves the machine's own kernel through /dev/vhost-net, which takes
# checksums unfilled and packets of up to 64 KiB.
# shellcheck disable=SC2034,SC2154 # set or used by steps.sh and the files it sources

FETCHED=/tmp/fetched

serve_the_kernel() {
    SERVE=(pollux serve --config deploy/site.toml --link auto --set limits.connections=1024)
    check "modprobe vhost_net tun" modprobe -a vhost_net tun
    check "hugepages.sh reserve" ./hugepages.sh reserve "$PAGE_PAGES"
    serve_over_vhost 1
    serve_over_vhost "$WORKERS"
    check "hugepages.sh release" ./hugepages.sh release
}

# serve_over_vhost WORKERS: that many, with a queue each.
serve_over_vhost() {
    WORKERS=$1
    check "$1 workers: link.sh up --kind vhost" deploy/link.sh up --kind vhost --queues "$1"
    check "$1 workers: serve" start_server
    check "$1 workers: auto takes vhost" grep -q 'took vhost:pollux-host' "$LOG"
    check "$1 workers: checksums are left to the kernel" test "$(handed_over)" != filled
    fetch_here "$1 workers"
    connect_often "$1 workers"
    note "large packets: $(counter tx_large_packets) ($(handed_over))"
    if [[ $(handed_over) == segmented ]]; then
        check "$1 workers: large packets are handed over" test "$(counter tx_large_packets)" -gt 0
    else
        check "$1 workers: the log says why none is" grep -q 'goes on without segmentation offload' "$LOG"
    fi
    check "$1 workers: none was refused" test "$(counter nic_tx_segmentation_refused)" -eq 0
    check "$1 workers: flows stay with their worker" test "$(counter drop_no_connection)" -eq 0
    pollux stats >/tmp/stats
    cat /tmp/stats
    check "flows reach $1 of $1 workers" test "$(busy_workers)" -eq "$1"
    check "$1 workers: stop" pollux stop
    check "$1 workers: the server exits with 0" wait "$server"
    check "$1 workers: serve with link.offloads=off" start_server --set link.offloads=off
    check "$1 workers: nothing is left to the kernel" test "$(handed_over)" = filled
    fetch_here "$1 workers without offloads"
    check "$1 workers: no large packet then" test "$(counter tx_large_packets)" -eq 0
    check "$1 workers: stop without offloads" pollux stop
    check "$1 workers: the server without offloads exits with 0" wait "$server"
    check "$1 workers: link.sh down" deploy/link.sh down
}

# fetch_here WHAT: every file, over a connection of its own.
fetch_here() {
    local file
    for file in /srv/www/*.bin; do
        check "$1: ${file##*/} is fetched and right" fetch_file "${file##*/}"
    done
}

# connect_often WHAT: that many connections, one after the other.
connect_often() {
    local round
    for ((round = 0; round < SPREAD_FETCHES; round++)); do
        fetch_file 100.bin || { failed "$1: $SPREAD_FETCHES connections are answered" && return; }
    done
    ok "$1: $SPREAD_FETCHES connections are answered"
}

fetch_file() {
    curl --silent --show-error --fail --max-time 60 --output "$FETCHED" "http://$POLLUX_ADDRESS:8080/$1" &&
        cmp "$FETCHED" "/srv/www/$1"
}
