# shellcheck shell=bash
# Sourced: what the outside does when the inside asks for it. Needs machine.sh.
# shellcheck disable=SC2154 # set by rehearse.sh, which sources this file

FETCH_SECONDS_MAX=60
REFUSED_SECONDS=2
PING_SECONDS_MAX=15
CAPTURE_SIZE=1048576
# Ethernet header and an IP packet of the MTU: what is longer is left for the NIC to cut.
FRAME_MAX=1514

# The processes that capture, by interface.
declare -A captures=()

# act ACTION ARGUMENT...
act() {
    case $1 in
        fetch) fetch_all "$2" ;;
        fetch_sample) fetch_sample "$2" ;;
        spread) fetch_many "$2" "$3" ;;
        capture) capture "$2" "$3" ;;
        refused) expect_no_answer "$2" ;;
        reach_kernel) reach_kernel "$2" "$3" ;;
        ping) ping_guest "$2" ;;
        *) return 1 ;;
    esac
}

# fetch URL FILE: whether URL answers with the bytes of FILE.
fetch() {
    inside curl --silent --show-error --fail --max-time "$FETCH_SECONDS_MAX" "$1" 2>"$scratch/curl" |
        cmp - "$2" >>"$scratch/curl" 2>&1
}

# fetch_and_judge WHAT URL FILE: one test.
fetch_and_judge() {
    if fetch "$2" "$3"; then passes "$1"; else fails "$1: $(tr '\n' ' ' <"$scratch/curl")"; fi
}

# fetch_all ADDRESS: every file, compared with what was put into the image.
fetch_all() {
    local size
    for size in "${FILE_SIZES[@]}"; do
        fetch_and_judge "$size bytes are fetched and right" "http://$1:8080/$size.bin" "$served/$size.bin"
    done
}

# fetch_sample ADDRESS: of the server that the page's commands started.
fetch_sample() {
    [[ -d $scratch/sample ]] || "$binary" sample "$scratch/sample" >/dev/null || return 1
    fetch_and_judge "page: the server answers another machine" "http://$1:8080/static/vendor.js" "$scratch/sample/static/vendor.js"
}

# fetch_many ADDRESS COUNT: that many connections, one after the other.
fetch_many() {
    local count
    for ((count = 0; count < $2; count++)); do
        fetch "http://$1:8080/100.bin" "$served/100.bin" || { fails "$2 connections are answered: $(<"$scratch/curl")" && return; }
    done
    passes "$2 connections are answered"
}

expect_no_answer() {
    if inside curl --silent --max-time "$REFUSED_SECONDS" "http://$1:8080/2.bin" >/dev/null; then
        fails "a drained server takes no connection"
    else
        passes "a drained server takes no connection"
    fi
}

# reach_kernel ADDRESS PORT: a server of the guest's kernel answers on the same NIC, at PORT, while Pollux does.
reach_kernel() {
    local answered=0 pid
    fetch "http://$1:$2/10485760.bin" "$served/10485760.bin" &
    pid=$!
    while [[ -n $(start_time "$pid") ]]; do
        inside curl --silent --fail --max-time "$FETCH_SECONDS_MAX" "http://$1:8080/100.bin" | cmp -s - "$served/100.bin" || break
        answered=$((answered + 1))
    done
    if wait "$pid"; then passes "exception: 10 MiB of the kernel's server are right"; else fails "exception: 10 MiB of the kernel's server are right: $(tr '\n' ' ' <"$scratch/curl")"; fi
    say "$model: $answered requests were answered meanwhile"
    if [[ $answered -gt 0 ]]; then passes "exception: Pollux answers beside it"; else fails "exception: Pollux answers beside it"; fi
}

# ping_guest ADDRESS: the guest's kernel answers before long. e1000e finds its link 2.5 s after it was given back, and
# ping itself gives up when nobody has answered ARP for 3 s.
ping_guest() {
    local deadline=$((SECONDS + PING_SECONDS_MAX))
    until inside ping -c 1 -w 5 -q "$1" >/dev/null; do
        [[ $SECONDS -lt $deadline ]] || { fails "ping $1" && return; }
    done
    passes "ping $1"
}

# capture ADDRESS segmented|offloaded|filled: of one fetch, what QEMU's NIC hands over and what a wire would carry. Where
# the NIC is to fill checksums in, the tap sees them unfilled, and maybe frames longer than the MTU; behind the
# bridge, whose port has no offload, all are filled in, and must be right.
capture() {
    local device
    for device in port client; do start_capture "$device"; done
    fetch_and_judge "bytes under capture are right" "http://$1:8080/$CAPTURE_SIZE.bin" "$served/$CAPTURE_SIZE.bin"
    for device in port client; do end_capture "$device"; done
    judge_tap "$1" "$2"
    judge_wire "$1"
}

start_capture() {
    : >"$scratch/tcpdump-$1"
    ip netns exec "$netns" tcpdump -i "$1" -s 0 -B 16384 -U -w "$scratch/$1.pcap" 'tcp src port 8080' \
        </dev/null 2>>"$scratch/tcpdump-$1" &
    captures[$1]=$!
    await 10 $! grep -q 'listening on' "$scratch/tcpdump-$1" || warn "tcpdump does not start: $(<"$scratch/tcpdump-$1")"
}

end_capture() {
    end_process "${captures[$1]}" 10
    unset "captures[$1]"
}

# sums DEVICE correct|incorrect: how many frames of the capture have such a TCP checksum.
sums() { tcpdump -r "$scratch/$1.pcap" -nvv 2>/dev/null | grep -c "cksum 0x[0-9a-f]* ($2" || true; }

# longest DEVICE: the longest frame of the capture.
longest() { tcpdump -r "$scratch/$1.pcap" -ne 2>/dev/null | sed -n 's/.*ethertype IPv4 ([^)]*), length \([0-9]*\): .*/\1/p' | sort -n | tail -n 1; }

judge_tap() {
    local filled unfilled
    filled=$(sums port correct)
    unfilled=$(sums port incorrect)
    say "$model: the NIC hands over $filled frames with checksums filled in and $unfilled without, the longest of $(longest port) bytes"
    case $2 in
        segmented) if [[ $unfilled -gt 0 && $(longest port) -gt $FRAME_MAX ]]; then passes "segmentation offload is used"; else fails "segmentation offload is used"; fi ;;
        offloaded) if [[ $unfilled -gt 0 ]]; then passes "checksum offload is used"; else fails "checksum offload is used"; fi ;;
        filled) if [[ $unfilled -eq 0 && $filled -gt 0 ]]; then passes "checksums come from Pollux"; else fails "checksums come from Pollux"; fi ;;
    esac
}

judge_wire() {
    local right wrong length
    right=$(sums client correct)
    wrong=$(sums client incorrect)
    length=$(longest client)
    if [[ $right -gt 0 && $wrong -eq 0 && $length -le $FRAME_MAX ]]; then
        passes "checksums on the wire are right"
    else
        fails "checksums on the wire are right: $right right, $wrong wrong, the longest frame has $length bytes"
    fi
}
