# shellcheck shell=bash
# Sourced in the virtual machine: Pollux serves the machine's own kernel through /dev/vhost-net, which takes
# checksums unfilled and packets of up to 64 KiB.
# shellcheck disable=SC2034,SC2154 # set or used by steps.sh and the files it sources

FETCHED=/tmp/fetched
mapfile -t ALL_FILES < <(cd /srv/www && ls -- *.bin)

serve_the_kernel() {
    SERVE=(pollux serve --config deploy/site.toml --link auto --set limits.connections=1024)
    check "modprobe vhost_net tun" modprobe -a vhost_net tun
    check "hugepages.sh reserve" ./hugepages.sh reserve "$PAGE_PAGES"
    local workers
    for workers in 1 "$WORKERS"; do serve_over_vhost "$workers"; done
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
    take_statistics
    note "large packets: $(counter tx_large_packets) ($(handed_over))"
    if [[ $(handed_over) == segmented ]]; then
        check "$1 workers: large packets are handed over" test "$(counter tx_large_packets)" -gt 0
    else
        check "$1 workers: the log says why none is" grep -q 'goes on without segmentation offload' "$LOG"
    fi
    check "$1 workers: none was refused" test "$(counter nic_tx_segmentation_refused)" -eq 0
    check "$1 workers: flows stay with their worker" test "$(counter drop_no_connection)" -eq 0
    check "flows reach $1 of $1 workers" test "$(busy_workers)" -eq "$1"
    check "$1 workers: stop" pollux stop
    check "$1 workers: the server exits with 0" wait "$server"
    check "$1 workers: serve with link.offloads=off" start_server --set link.offloads=off
    check "$1 workers: nothing is left to the kernel" test "$(handed_over)" = filled
    fetch_here "$1 workers without offloads"
    take_statistics
    check "$1 workers: no large packet then" test "$(counter tx_large_packets)" -eq 0
    check "$1 workers: stop without offloads" pollux stop
    check "$1 workers: the server without offloads exits with 0" wait "$server"
    check "$1 workers: link.sh down" deploy/link.sh down
}

# fetch_here WHAT: every file, over a connection of its own.
fetch_here() {
    local file
    rm -f "$FETCHED"/*
    fetch_each --remote-name-all "${ALL_FILES[@]}" || true
    for file in "${ALL_FILES[@]}"; do
        check "$1: $file is fetched and right" cmp "$FETCHED/$file" "/srv/www/$file"
    done
}

# connect_often WHAT: that many connections, one after the other.
connect_often() {
    local round
    for ((round = 0; round < SPREAD_FETCHES; round++)); do cat /srv/www/100.bin; done >/tmp/wanted
    check "$1: $SPREAD_FETCHES connections are answered" fetched_often
}

fetched_often() { fetch_each "100.bin?[1-$SPREAD_FETCHES]" | cmp - /tmp/wanted; }

# fetch_each OPTION|FILE...: one curl, which takes a second to start in here; a connection for each file.
fetch_each() {
    local -a arguments=()
    local argument
    for argument in "$@"; do
        case $argument in
            -*) arguments+=("$argument") ;;
            *) arguments+=("http://$POLLUX_ADDRESS:8080/$argument") ;;
        esac
    done
    curl --silent --show-error --fail --max-time 60 --header 'Connection: close' --output-dir "$FETCHED" --create-dirs "${arguments[@]}"
}
