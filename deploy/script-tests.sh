#!/usr/bin/env bash
# deploy/script-tests.sh: tests of hugepages.sh, link.sh, upgrade.sh, cluster/announce.sh, cluster/sticky.sh,
# quickstart.sh, counters.sh, simulate.sh, rehearse.sh and bench/instructions.sh themselves, as root.
#
#   script-tests.sh [WORD]   run the tests whose name contains WORD (default: all)
#
# quickstart.sh starts the real binary: POLLUX_BIN, or a debug build, which is then made.
# The tests run in a mount and a network namespace of their own, with an empty /run, so that nothing they do
# to links, namespaces, mounts and records is seen outside. Hugepages belong to the whole machine: one
# test reserves six and gives them back, and expects nobody else to change their number meanwhile.
# Ends with a line "N passed, N failed"; status 1 where one failed.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/say.sh
. "$here/say.sh"
# shellcheck source=deploy/expect.sh
. "$here/expect.sh"
# shellcheck source=deploy/process.sh
. "$here/process.sh"
# shellcheck source=deploy/mounts.sh
. "$here/mounts.sh"
# shellcheck source=deploy/prerequisites.sh
. "$here/prerequisites.sh"
# shellcheck source=deploy/script-tests/servers.sh
. "$here/script-tests/servers.sh"

QUICKSTART=$here/quickstart.sh
HUGEPAGES=$here/../hugepages.sh
LINK=$here/link.sh
COUNTERS=$here/counters.sh
SIMULATE=$here/simulate.sh
INSTRUCTIONS=$here/bench/instructions.sh
REHEARSE=$here/rehearse.sh
BPFFS=/sys/fs/bpf
XDP_OBJECT=/usr/lib/x86_64-linux-gnu/bpf/xsk_def_xdp_prog.o
PAGES=/sys/devices/system/node/node0/hugepages/hugepages-2048kB
TEST_SECONDS=60

main() {
    case ${1-} in
        -h | --help) show_help && exit ;;
        --inside) run_tests "${2-}" ;;
        --test) "test_$2" ;;
        *)
            need_root
            provide_pollux dev
            export POLLUX_BIN=$binary
            # Nothing can be fetched from inside.
            "$REHEARSE" --fetch
            exec unshare --mount --net --propagation private "$0" --inside "$@"
            ;;
    esac
}

# An empty /run, nobody else's namespaces, no bpffs, and /run/netns as `ip netns` leaves it after its
# first use.
prepare() {
    empty /run
    mkdir /run/pollux
    if mountpoint -q "$BPFFS"; then umount "$BPFFS"; fi
    ip link set lo up
    ip netns add first
    ip netns del first
    work=$(mktemp -d)
    trap leave EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
}

# What a failed test may leave that goes with no namespace: a process and hugepages.
leave() {
    "$QUICKSTART" --stop >/dev/null || true
    "$HUGEPAGES" release >/dev/null || true
    rm -rf "$work"
}

# run_tests WORD: each test is a function test_*, run in a process of its own, with a directory $scratch of its own.
# Whatever it leaves behind elsewhere counts against it.
run_tests() {
    local name before after passed=0 failed=0
    prepare
    for name in $(declare -F | sed -n "s/^declare -f test_//p" | grep -- "$1" || true); do
        before=$(footprint)
        mkdir "$work/$name"
        if scratch=$work/$name timeout --foreground --kill-after 5 "$TEST_SECONDS" "$0" --test "$name" >"$work/said" 2>&1; then
            after=$(footprint)
            rm -rf --one-file-system "${work:?}/$name"
            if [[ $before == "$after" ]]; then
                printf 'ok      %s\n' "$name"
                passed=$((passed + 1))
                continue
            fi
            diff <(printf '%s\n' "$before") <(printf '%s\n' "$after") >>"$work/said" || true
        fi
        printf 'FAILED  %s\n' "$name"
        sed 's/^/        /' "$work/said"
        failed=$((failed + 1))
    done
    printf '%d passed, %d failed\n' "$passed" "$failed"
    [[ $failed -eq 0 && $passed -gt 0 ]]
}

# What a test must leave as it was.
footprint() {
    ip -brief link | awk '{ print "link", $1 }'
    ip netns | sed 's/^/namespace /'
    awk '{ print "mount", $2, $3 }' /proc/mounts
    find /run/pollux -type f ! -name '*.lock' | sed 's/^/record /'
    stat --dereference --format 'binary %i, %s bytes of %y' "$POLLUX_BIN"
}

# --- test.sh itself ---

test_the_whole_test_begins_on_a_machine_without_records() {
    expect_says "--- formatting: done" unshare --mount bash -c "mount -t tmpfs none /run && exec '$here/test.sh' --only formatting"
}

# --- hugepages.sh: once on this machine's pages, otherwise on nodes that are files ---

test_hugepages_reserved_and_released() {
    local before
    before=$(total)
    expect_says "(+6, 12 MiB)" "$HUGEPAGES" reserve 6
    equal "$(total)" $((before + 6))
    expect_says "6 pollux" "$HUGEPAGES" show
    expect_says "(-6, 12 MiB)" "$HUGEPAGES" release
    equal "$(total)" "$before"
}

test_hugepages_are_spread_over_nodes() {
    fake_nodes 10 20
    expect_says "node 1: 20 -> 22 pages" on_fake_nodes reserve 5
    equal "$(counts)" "13 22"
    on_fake_nodes reserve 4 --node 1
    equal "$(counts)" "13 24"
    on_fake_nodes reserve 3
    equal "$(counts)" "12 21"
    on_fake_nodes release
    equal "$(counts)" "10 20"
}

test_hugepages_reserve_is_a_total() {
    fake_nodes 10
    on_fake_nodes reserve 5
    expect_says "nothing to change" on_fake_nodes reserve 5
    equal "$(counts)" 15
    on_fake_nodes reserve 2
    equal "$(counts)" 12
    on_fake_nodes reserve 0
    equal "$(counts)" 10
}

test_hugepages_of_others_stay() {
    fake_nodes 10
    on_fake_nodes reserve 2
    # Somebody adds three.
    fake_nodes 15
    on_fake_nodes release
    expect_says "nothing of ours" on_fake_nodes release
    equal "$(counts)" 13
}

test_hugepages_owners_are_counted_apart() {
    fake_nodes 10
    on_fake_nodes reserve 2
    on_fake_nodes reserve 3 --owner other
    expect_says "2 pollux" on_fake_nodes show
    expect_says "3 other" on_fake_nodes show
    on_fake_nodes release
    equal "$(counts)" 13
    on_fake_nodes release --owner other
    equal "$(counts)" 10
}

test_hugepages_that_others_took_away_are_not_missed() {
    fake_nodes 0 0
    on_fake_nodes reserve 8
    fake_nodes 1 4
    expect_says "3 of ours are gone already" on_fake_nodes release
    equal "$(counts)" "0 0"
}

test_hugepages_in_use_are_kept_and_told() {
    fake_nodes 10 10
    on_fake_nodes reserve 8
    use_pages 1 12
    expect_fails 1 "2 pages of ours are still in use" on_fake_nodes release
    equal "$(counts)" "10 12"
    expect_fails 1 "2 pages of ours are still in use" on_fake_nodes release
    use_pages 1 0
    on_fake_nodes release
    equal "$(counts)" "10 10"
}

test_hugepages_record_of_an_earlier_boot_is_void() {
    fake_nodes 10
    on_fake_nodes reserve 2
    sed -i 's/^boot .*/boot earlier/' "$scratch/records/hugepages/pollux"
    fake_nodes 10
    expect_says "nothing of ours" on_fake_nodes release
    on_fake_nodes reserve 3
    on_fake_nodes release
    equal "$(counts)" 10
}

test_hugepages_granted_in_part_are_given_back() {
    fake_nodes 10 20
    # A kernel that has contiguous memory for three more pages on node 1.
    most=23 expect_fails 1 "the kernel gave 3 of 4 pages" on_fake_nodes reserve 8
    equal "$(counts)" "10 20"
}

test_hugepages_beyond_memory_are_refused_at_once() {
    fake_nodes 10
    expect_fails 1 "are available" on_fake_nodes reserve 99999999
    equal "$(counts)" 10
}

test_hugepages_leave_memory_for_the_rest() {
    fake_nodes 10
    local free_mib
    free_mib=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
    # All but 100 MiB: the kernel has them.
    most=99999999 expect_fails 1 "256 MiB must be left" on_fake_nodes reserve $(((free_mib - 100) / 2)) || return 1
    equal "$(counts)" 10
}

test_hugepages_in_use_name_who_holds_them() {
    fake_nodes 10
    on_fake_nodes reserve 2
    use_pages 0 12
    expect_fails 1 "still in use by " on_fake_nodes release
}

test_hugepages_in_a_container_without_rights() {
    mount --bind "$PAGES" "$PAGES"
    mount -o remount,ro,bind "$PAGES"
    expect_fails 1 "--privileged" "$HUGEPAGES" reserve 1
    umount "$PAGES"
}

test_hugepages_misuse() {
    expect_fails 2 "whole number" "$HUGEPAGES" reserve many
    expect_fails 2 "whole number" "$HUGEPAGES" reserve -1
    expect_fails 2 "number of pages" "$HUGEPAGES" reserve
    expect_fails 2 "none of them" "$HUGEPAGES" take
    expect_fails 2 "does not belong" "$HUGEPAGES" release --node 0
    expect_fails 2 "plain name" "$HUGEPAGES" release --owner ../x
    expect_fails 1 "no NUMA node 99" "$HUGEPAGES" reserve 1 --node 99
    expect_fails 2 "whole number" "$HUGEPAGES" persist many
    expect_fails 2 "say unpersist" "$HUGEPAGES" persist 0
    expect_fails 2 "does not belong" "$HUGEPAGES" persist 1 --owner other
    expect_fails 2 "does not belong" "$HUGEPAGES" unpersist --node 0
    expect_says "reserve N" "$HUGEPAGES" --help
}

# The file is what the tools that read it at boot take: that they say so is the test. No page is touched.
test_hugepages_persisted_for_the_machine() {
    local file=$scratch/machine/sysctl.d/60-pollux-hugepages.conf
    fake_nodes 10 10
    expect_says "At boot: nothing is persisted." on_fake_nodes show
    expect_says "hugepages=2' to GRUB_CMDLINE_LINUX" on_fake_nodes persist 600
    equal "$(tail -n +2 "$file")" "vm.nr_hugepages = 600"
    sysctl --dry-run -p "$file" | grep -qx "vm.nr_hugepages = 600"
    expect_says "At boot: 600 pages ($file)." on_fake_nodes show
    expect_says "nothing to change" on_fake_nodes persist 600
    on_fake_nodes persist 700
    expect_says "At boot: 700 pages" on_fake_nodes show
    equal "$(counts)" "10 10"
    expect_says "removed $file" on_fake_nodes unpersist
    expect_says "nothing is persisted" on_fake_nodes unpersist
    equal "$(find "$scratch/machine" -type f)" ""
}

test_hugepages_persisted_by_node() {
    local file=$scratch/machine/tmpfiles.d/pollux-hugepages.conf
    fake_nodes 10 10
    on_fake_nodes persist 6
    expect_says "removed $scratch/machine/sysctl.d" on_fake_nodes persist 3 --node 0
    on_fake_nodes persist 5 --node 1
    on_fake_nodes persist 4 --node 1
    expect_says "At boot: 3 pages on node 0 ($file); 4 pages on node 1 ($file)." on_fake_nodes show
    # What systemd-tmpfiles does at boot, on nodes that are files, which unlike sysfs keep what is not overwritten;
    # it writes no line end.
    truncate --size 0 "$scratch"/nodes/node*/hugepages/hugepages-2048kB/nr_hugepages
    systemd-tmpfiles --create "$file"
    equal "$(counts)" "34"
    expect_says "removed $file" on_fake_nodes persist 6
    on_fake_nodes unpersist
    equal "$(find "$scratch/machine" -type f)" ""
}

test_hugepages_persisted_by_others_stay() {
    local file=$scratch/machine/sysctl.d/60-pollux-hugepages.conf
    fake_nodes 10
    mkdir -p "${file%/*}"
    echo "vm.nr_hugepages = 7" >"$file"
    expect_fails 1 "was not written by hugepages.sh" on_fake_nodes persist 5
    expect_fails 1 "was not written by hugepages.sh" on_fake_nodes unpersist
    expect_says "is not of hugepages.sh" on_fake_nodes show
    equal "$(<"$file")" "vm.nr_hugepages = 7"
    mv "$file" "${file%/*}/10-database.conf"
    expect_fails 1 "10-database.conf sets vm.nr_hugepages as well" on_fake_nodes persist 5
    equal "$(find "$scratch/machine" -type f)" "${file%/*}/10-database.conf"
}

test_hugepages_persisted_must_fit() {
    fake_nodes 10
    expect_fails 1 "persist fewer" on_fake_nodes persist 99999999
    expect_fails 1 "no NUMA node 9" on_fake_nodes persist 5 --node 9
    equal "$(find "$scratch" -path '*/machine/*' -type f)" ""
}

test_hugepages_persisted_are_had_now() {
    fake_nodes 10 10
    expect_says "nothing is persisted" on_fake_nodes apply || return 1
    on_fake_nodes persist 25
    expect_says "25 pages are persisted, 20 were there: added 5" on_fake_nodes apply || return 1
    equal "$(counts)" "13 12"
    expect_says "25 pages are persisted, 25 are there" on_fake_nodes apply || return 1
    on_fake_nodes persist 20
    on_fake_nodes apply
    equal "$(counts)" "13 12"
    on_fake_nodes persist 15 --node 1
    on_fake_nodes apply
    equal "$(counts)" "13 15"
    # A kernel that has contiguous memory for no more than 14 on each.
    on_fake_nodes persist 40
    most=14 expect_fails 1 "40 pages are persisted, 29 are there" on_fake_nodes apply || return 1
    # They are the machine's, in nobody's record.
    expect_says "nothing of ours" on_fake_nodes release || return 1
}

# The real /etc of this machine, in whose place a file system of this test's is mounted.
test_hugepages_persisted_below_the_real_etc() {
    mkdir -p "$scratch/sysctl.d"
    mount --bind "$scratch/sysctl.d" /etc/sysctl.d
    expect_says "wrote /etc/sysctl.d/60-pollux-hugepages.conf" "$HUGEPAGES" persist 5
    expect_says "At boot: 5 pages" "$HUGEPAGES" show
    "$HUGEPAGES" unpersist
    equal "$(ls /etc/sysctl.d)" ""
    umount /etc/sysctl.d
}

# --- link.sh ---

test_link_up_and_down_here() {
    "$LINK" up
    "$LINK" status
    ip -brief address show pollux-host | grep -q '198.18.0.1/24'
    "$LINK" down
    expect_fails 3 "down" "$LINK" status
    expect_says "nothing to do" "$LINK" down
}

test_link_in_a_namespace_it_makes() {
    "$LINK" up --netns made --queues 2
    equal "$(ip netns | grep -c made)" 1
    equal "$(in_made bash -c 'ls -d /sys/class/net/pollux*/queues/[rt]x-* | wc -l')" 8
    equal "$(in_made sysctl -n net.core.txrehash)" 0
    "$LINK" down --netns made
    expect_fails 3 "no namespace made" "$LINK" status --netns made
}

test_link_in_a_namespace_that_was_there() {
    ip netns add made
    in_made ip link add other0 type veth peer name other1
    "$LINK" up --netns made --queues 2
    "$LINK" down --netns made
    equal "$(in_made ip -brief link show type veth | wc -l)" 2
    equal "$(in_made sysctl -n net.core.txrehash)" 1
    ip netns del made
}

test_link_up_twice() {
    "$LINK" up --netns made
    expect_says "already up" "$LINK" up --netns made
    expect_fails 1 "down --netns made" "$LINK" up --netns made --queues 2
    expect_fails 1 "is up" "$LINK" up --netns made --kind tap
    "$LINK" down --netns made
}

# As after an `up` that was killed half way, or somebody's hand: all parts are looked at.
test_link_that_is_half_there_is_mended() {
    "$LINK" up --netns made --queues 2
    in_made ip address flush dev pollux-host
    in_made ip link set pollux0 down mtu 1400
    in_made ethtool -K pollux-host tx on
    in_made sysctl -qw net.ipv4.conf.pollux0.arp_ignore=0 net.core.txrehash=1
    local said
    said=$("$LINK" up --netns made --queues 2) || return 1
    for part in "MTU of pollux0" "pollux0 is down" "tx-checksumming of pollux-host" "ARP and forwarding of pollux0" \
        net.core.txrehash "address of pollux-host"; do
        [[ $said == *"mended: "*"$part"* ]] || { echo "$said lacks $part" && return 1; }
    done
    equal "$(in_made cat /sys/class/net/pollux0/mtu)" 1500
    in_made ip -brief address show pollux-host | grep -q '198.18.0.1/24' || return 1
    expect_says "already up" "$LINK" up --netns made --queues 2 || return 1
    in_made ip link del pollux0
    expect_says "link up in" "$LINK" up --netns made --queues 2 || return 1
    in_made ip link set pollux0 netns "$(in_made_process)" || return 1
    expect_says "making the link anew" "$LINK" up --netns made --queues 2 || return 1
    in_made ip link show pollux0 || return 1
    "$LINK" down --netns made
}

test_link_that_goes_by_itself_while_it_is_taken_down_is_down() {
    "$LINK" up --netns made || return 1
    # Who deletes it finds that the kernel just has.
    mkdir "$scratch/bin"
    cat >"$scratch/bin/ip" <<'END'
#!/bin/bash
PATH=${PATH#*:}
[[ "$*" != *"ip link del"* ]] || ip netns exec made ip link del pollux0
exec ip "$@"
END
    chmod +x "$scratch/bin/ip"
    PATH=$scratch/bin:$PATH "$LINK" down --netns made || return 1
    expect_fails 3 "no namespace made" "$LINK" status --netns made
}

# The first process, whose namespace is another one.
in_made_process() { echo $$; }

test_link_carries_only_what_a_wire_carries() {
    "$LINK" up --netns made
    local device feature
    for device in pollux0 pollux-host; do
        equal "$(in_made cat "/sys/class/net/$device/mtu")" 1500
        for feature in tx-checksumming generic-segmentation-offload tcp-segmentation-offload generic-receive-offload; do
            in_made ethtool -k "$device" | grep -q "^$feature: off"
        done
    done
    "$LINK" down --netns made
}

test_link_is_silent_by_itself() {
    "$LINK" up --netns made
    # Even where the kernel routes and knows the way, nothing comes back from behind pollux0.
    in_made sysctl -qw net.ipv4.conf.all.forwarding=1
    in_made ping -c 1 -W 1 198.18.0.2 && return 1
    in_made ip neigh replace 198.18.0.2 dev pollux-host lladdr "$(in_made cat /sys/class/net/pollux0/address)"
    in_made ping -c 1 -W 1 198.18.0.2 && return 1
    in_made curl --silent --max-time 1 http://198.18.0.2/ && return 1
    in_made ping -c 1 -W 1 -I pollux-host 198.18.0.77 && return 1
    equal "$(in_made cat /sys/class/net/pollux-host/statistics/rx_packets)" 0
    equal "$(in_made ip -6 address show dev pollux0)" ""
    equal "$(in_made ip -6 address show dev pollux-host)" ""
    "$LINK" down --netns made
}

test_link_tap_waits_for_its_other_end() {
    "$LINK" up --netns made --kind tap
    in_made ip -details link show pollux-host | grep -q 'multi_queue.*persist on'
    in_made ip -brief address show pollux-host | grep -q '198.18.0.1/24'
    in_made ethtool -k pollux-host | grep -q '^tx-checksumming: off'
    expect_says "tap:pollux-host" "$LINK" status --netns made
    "$LINK" down --netns made
}

# The rehearsal makes one where there is vhost-net.
test_link_vhost_wants_vhost_net() {
    unshare --mount bash -c 'mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && ln -s /proc/self/fd /dev/fd && exec "$@"' bash \
        "$LINK" up --netns made --kind vhost >"$scratch/said" 2>&1 && return 1
    grep -q 'there is no /dev/vhost-net: modprobe vhost_net' "$scratch/said" || { cat "$scratch/said" && return 1; }
    [[ ! -e /run/netns/made ]]
}

test_link_takes_the_xdp_program_off() {
    "$LINK" up --netns made
    in_made ip link set dev pollux0 xdp obj "$XDP_OBJECT" sec xdp
    local index program
    index=$(in_made cat /sys/class/net/pollux0/ifindex)
    program=$(in_made ip -details link show pollux0 | sed -n 's/.*prog\/xdp id \([0-9]*\).*/\1/p')
    expect_says "XDP        program $program"$'\n' "$LINK" status --netns made
    mkdir -p "$BPFFS/xdp/dispatch-$index-$program" "$BPFFS/xdp/dispatch-$index-0"
    expect_says "took the XDP program off" "$LINK" down --netns made
    [[ ! -e $BPFFS/xdp/dispatch-$index-$program ]]
}

test_link_bpffs_stays_until_the_last_link() {
    "$LINK" up --netns made
    "$LINK" up --netns made2
    mountpoint -q "$BPFFS"
    "$LINK" down --netns made
    mountpoint -q "$BPFFS"
    "$LINK" down --netns made2
    ! mountpoint -q "$BPFFS"
}

test_link_bpffs_of_others_stays() {
    mount -t bpf bpf "$BPFFS"
    "$LINK" up --netns made
    "$LINK" down --netns made
    umount "$BPFFS"
}

test_link_many_at_once() {
    local name pids=()
    for name in one two three four; do "$LINK" up --netns "$name" & pids+=($!); done
    for name in "${pids[@]}"; do wait "$name"; done
    equal "$(ip netns | wc -l)" 4
    for name in one two three four; do "$LINK" status --netns "$name"; done
    pids=()
    for name in one two three four; do "$LINK" down --netns "$name" & pids+=($!); done
    for name in "${pids[@]}"; do wait "$name"; done
}

test_link_leaves_strangers_alone() {
    ip link add pollux-host type veth peer name stranger
    expect_fails 1 "did not make it" "$LINK" up
    expect_fails 1 "not made by this script" "$LINK" down
    ip link del stranger
}

test_link_that_cannot_be_made_leaves_nothing() {
    mkdir -p "$scratch/bin"
    printf '#!/bin/sh\necho tx-checksumming: on\n' >"$scratch/bin/ethtool"
    chmod +x "$scratch/bin/ethtool"
    expect_fails 1 "tx-checksumming cannot be turned off" env PATH="$scratch/bin:$PATH" "$LINK" up --netns made
}

test_link_whose_namespace_is_gone() {
    "$LINK" up --netns made
    ip netns del made
    "$LINK" up --netns made
    "$LINK" status --netns made
    "$LINK" down --netns made
    "$LINK" up --netns made
    ip netns del made
    "$LINK" down --netns made
}

test_link_exec_becomes_the_command() {
    "$LINK" up --netns made
    equal "$("$LINK" exec --netns made -- stat --file-system --format %T "$BPFFS")" bpf_fs
    expect_fails 7 "" "$LINK" exec --netns made -- bash -c 'exit 7'
    "$LINK" exec --netns made -- sleep 30 &
    sleep 0.5
    equal "$(cat /proc/$!/comm)" sleep
    kill $!
    wait $! || true
    "$LINK" down --netns made
    expect_fails 1 "no namespace" "$LINK" exec --netns made -- true
    equal "$("$LINK" exec -- echo here)" here
}

test_link_misuse() {
    expect_fails 2 "none of them" "$LINK"
    expect_fails 2 "veth, tap or vhost" "$LINK" up --kind wifi
    expect_fails 2 "1 to 64" "$LINK" up --queues 0
    expect_fails 2 "whole number" "$LINK" up --queues x
    expect_fails 2 "plain name" "$LINK" up --netns ../x
    expect_fails 2 "does not belong" "$LINK" down --queues 2
    expect_fails 2 "and a command" "$LINK" exec
    expect_says "link.sh up" "$LINK" --help
}

test_link_pairs_beside_each_other() {
    "$LINK" up --netns made
    "$LINK" up --netns made --pair 7
    expect_says "already up" "$LINK" up --netns made --pair 7
    in_made ip -brief address show pollux-host | grep -q '198.18.0.1/24'
    in_made ip -brief address show pollux-host7 | grep -q '198.18.7.1/24'
    in_made ip link show pollux7 >/dev/null
    expect_says "pollux-host7" "$LINK" status --netns made --pair 7
    expect_fails 3 "no link" "$LINK" status --netns made --pair 8
    # The namespace goes with the link that made it, whichever is there.
    "$LINK" down --netns made --pair 7
    expect_fails 3 "no link" "$LINK" status --netns made --pair 7
    "$LINK" status --netns made
    "$LINK" down --netns made
}

test_link_pair_misuse() {
    expect_fails 2 "1 to 255, not 0" "$LINK" up --pair 0 || return 1
    expect_fails 2 "1 to 255, not 256" "$LINK" up --pair 256 || return 1
    expect_fails 2 "whole number" "$LINK" down --pair two || return 1
    expect_fails 2 "lacks its value" "$LINK" status --pair || return 1
    expect_fails 2 "does not belong to exec" "$LINK" exec --pair 1 -- true
}

# A link to the script, as the package has it, is what its help says.
test_link_called_by_another_name() {
    ln -s "$LINK" "$scratch/pollux-link"
    expect_says "pollux-link up" "$scratch/pollux-link" --help || return 1
    [[ $("$scratch/pollux-link" --help) != *[^-]link.sh* ]] || { "$scratch/pollux-link" --help && return 1; }
    rm "$scratch/pollux-link"
}

# --- quickstart.sh ---

test_quickstart_detached_until_stopped() {
    local said
    said=$(env --unset=DATABASE_URL "$QUICKSTART" --detach --netns made --port 8081)
    [[ $said == *"quickstart.sh --stop"* && $said == *"/async-db answers empty"* ]] || { echo "$said" && return 1; }
    equal "$(at 8081 pipeline)" ok
    equal "$(at 8081 'db?min=9999')" '{"items":[],"count":0}'
    [[ $(at 8081 'db?min=10&max=12') == '{"items":[{"id":'* ]]
    equal "$(at 8081 async-db)" '{"items":[],"count":0}'
    equal "$(at 8081 static/app.js | wc -c)" $((200 * 1024))
    [[ -s /run/pollux/quickstart-sample/seed.sql ]]
    expect_fails 1 "already running" "$QUICKSTART" --detach
    expect_says "stopped" "$QUICKSTART" --stop
    expect_says "not running" "$QUICKSTART" --stop
    [[ ! -e /run/pollux/quickstart-sample ]]
}

test_quickstart_in_the_foreground_until_interrupted() {
    # A proxy of the operator's is not asked for what is on a link of this machine.
    http_proxy=http://127.0.0.1:1 env --default-signal=INT "$QUICKSTART" >"$scratch/quickstart" 2>&1 &
    local script=$! status=0
    await 30 "$script" grep -q 'Ctrl-C' "$scratch/quickstart" || { cat "$scratch/quickstart" && return 1; }
    equal "$(curl --silent --max-time 2 http://198.18.0.2:8080/pipeline)" ok
    expect_fails 1 "already running" "$QUICKSTART"
    kill -INT "$script"
    wait "$script" || status=$?
    equal "$status" 130
    grep -q "link down" "$scratch/quickstart"
}

test_quickstart_serves_the_data_it_is_given() {
    "$POLLUX_BIN" sample "$scratch/site"
    echo mine >"$scratch/site/static/mine.txt"
    "$QUICKSTART" --detach --netns made --data "$scratch/site"
    equal "$(at 8080 static/mine.txt)" mine
    [[ ! -e /run/pollux/quickstart-sample ]]
    "$QUICKSTART" --stop
    expect_fails 1 "no such directory" "$QUICKSTART" --data "$scratch/nowhere"
}

test_quickstart_serves_the_routes_it_is_given() {
    cat >"$scratch/mine.toml" <<'ROUTES'
[[route]]
path = "/mine"
kind = "fixed"
type = "text/plain"
body = "only this"
ROUTES
    "$QUICKSTART" --detach --netns made --config "$scratch/mine.toml"
    equal "$(at 8080 mine)" "only this"
    equal "$(at 8080 pipeline)" "404 Not Found"
    [[ ! -e /run/pollux/quickstart-sample ]]
    "$QUICKSTART" --stop
    expect_fails 1 "no such file" "$QUICKSTART" --config "$scratch/nowhere.toml"
}

# The page's own commands in its order, but for the one that ends the server: each is run here, or named with what runs it.
test_quickstart_and_what_the_page_says_to_do_next() {
    local command ends='' site=$scratch/site
    mkdir "$site"
    echo hello >"$site/index.html"
    ln -s "$POLLUX_BIN" "$scratch/pollux"
    while IFS= read -r command; do
        case $command in
            'deploy/quickstart.sh --detach --config deploy/site.toml --data DIR')
                in_readme "${command/DIR/$site} --netns made" || return 1
                equal "$(at 8080 '')" hello
                ;;
            # It ends with 1 where it warns, and it has something to say of any machine.
            'pollux doctor') in_readme "$command | tail -n 1 | grep ' 0 fail'" ;;
            'pollux man DIR') in_readme "${command/DIR/$scratch/man}" ;;
            'pollux stop') ends=$command ;;
            'pollux drain' | 'pollux resume' | 'pollux reload' | 'pollux version' | 'pollux config show' | \
                'pollux log debug' | 'pollux stats' | 'pollux completions bash' | \
                'pollux tune show' | 'pollux nic list' | 'pollux check --config deploy/site.toml --data DIR' | 'pollux check --sizing')
                in_readme "${command/DIR/$site}"
                ;;
            # deploy/rehearse.sh binds NICs, docker-tests.sh runs the container, package-tests.sh the package; top.rs and
            # upgrade.rs of control/tests/real have a terminal and two servers.
            'pollux top' | 'pollux nic bind' | 'pollux serve --link pci:'* | 'docker build '* | deploy/deb.sh | 'systemctl '* | \
                './hugepages.sh persist N' | deploy/upgrade.sh) ;;
            *) echo "the page has a command that no test runs: $command" && return 1 ;;
        esac || { echo "the page's command fails: $command" && return 1; }
    done < <(commands_of_readme)
    equal "$ends" 'pollux stop' || return 1
    in_readme "$ends" && "$QUICKSTART" --stop
}

# What stands between backquotes in the table of where to go next and is a command.
# shellcheck disable=SC2016 # backquotes of a page
commands_of_readme() {
    sed -n '/^## Where to go next/,/^## pollux top/p' "$here/../README.md" | grep '^|' | grep --only-matching '`[^`]*`' |
        tr --delete '`' | grep -E '^(pollux|deploy/[a-z]+\.sh|docker build|systemctl|\./hugepages\.sh)( |$)' | awk '!seen[$0]++'
}

# in_readme COMMAND LINE: as somebody who follows the page types it, in the namespace that the server is in.
in_readme() {
    local said
    said=$(cd "$here/.." && PATH=$scratch:$PATH bash -c "$1" 2>&1) || { printf '%s\n' "$said" && return 1; }
}

test_quickstart_that_fails_leaves_nothing() {
    # A name that is no interface is found out when the server starts.
    expect_fails 1 "does not answer" "$QUICKSTART" --netns made -- --link af_packet:nosuch0 || return 1
    expect_fails 1 "nosuch0" "$QUICKSTART" --detach --netns made -- --link af_packet:nosuch0 || return 1
    expect_says "not running" "$QUICKSTART" --stop
}

test_quickstart_cleans_up_after_a_server_that_died() {
    "$QUICKSTART" --detach --netns made
    kill -KILL "$(sed -n 's/^pid //p' /run/pollux/quickstart)"
    expect_says "ended by itself" "$QUICKSTART" --stop
    [[ ! -e /run/pollux/quickstart-sample ]]
}

test_quickstart_checks_before_it_makes_anything() {
    local said
    printf '[listen]\nport = "80"\n[limits]\nhaed = 1\n' >"$scratch/bad.toml"
    for arguments in "-- --cores 9999" "--config $scratch/bad.toml"; do
        # shellcheck disable=SC2086 # several arguments
        said=$("$QUICKSTART" --detach --netns made $arguments 2>&1) && { echo "$said" && return 1; }
        [[ $said == *"Nothing was reserved or made"* && $said != *"node 0:"* && $said != *"link up"* ]] || { echo "$said" && return 1; }
    done
}

test_quickstart_does_not_say_stopped_while_something_stays() {
    "$QUICKSTART" --detach --netns made || return 1
    mkdir -p "$scratch/bin"
    printf '#!/bin/sh\ncase "$*" in *"netns del"*) exit 1;; esac\nexec %s "$@"\n' "$(command -v ip)" >"$scratch/bin/ip"
    chmod +x "$scratch/bin/ip"
    expect_fails 1 "something stays behind" env PATH="$scratch/bin:$PATH" "$QUICKSTART" --stop || return 1
    expect_says "stopped" "$QUICKSTART" --stop
}

test_quickstart_misuse() {
    expect_fails 2 "not understood" "$QUICKSTART" --fast
    expect_fails 2 "TCP port from 1 to 65535" "$QUICKSTART" --port http || return 1
    expect_fails 2 "TCP port from 1 to 65535" "$QUICKSTART" --port 70000 || return 1
    expect_fails 2 "plain name" "$QUICKSTART" --netns ../x || return 1
    expect_fails 2 "wants a value" "$QUICKSTART" --netns
    expect_says "--detach" "$QUICKSTART" --help
}

# --- counters.sh ---

test_counters_moved_and_not() {
    local all=$scratch/counters
    mkdir "$all"
    seq -f 'declared counter_%g' 200 >"$all/1"
    seq -f 'moved counter_%g' 150 >>"$all/1"
    seq -f 'moved counter_%g' 151 200 >"$all/2"
    expect_says '200 passed, 0 failed' "$COUNTERS" "$all" || return 1
    # What is declared in one process may be moved in another; a level need not be.
    printf 'declared a_level\nlevel a_level\n' >>"$all/2"
    expect_says '200 passed, 0 failed' "$COUNTERS" "$all" || return 1
    echo 'declared idle' >>"$all/2"
    expect_fails 1 'no test has moved idle' "$COUNTERS" "$all" || return 1
    expect_fails 1 '200 passed, 1 failed' "$COUNTERS" "$all" || return 1
    rm "$all/1"
    expect_fails 1 'did all tests run?' "$COUNTERS" "$all" || return 1
    rm -rf "$all"
    expect_fails 2 'name the directory' "$COUNTERS"
}

# --- simulate.sh ---

# fake_scenarios: a program that answers like the test binary with the kinds `up` and `down`: seed 7 of `up` fails, and the
# seeds of `down` from 200 on end the process.
fake_scenarios() {
    cat >"$scratch/scenarios" <<'EOF'
#!/usr/bin/env bash
if [[ $1 == --list ]]; then
    printf 'faults::%s: test\n' down one_seed_has_one_history up
    exit
fi
first=${SIM_SEED%..*} end=${SIM_SEED#*..}
echo "ran $2 $first $end" >>"${0%/*}/ran"
if [[ $2 == *::down && $end -gt 200 ]]; then exit 134; fi
if [[ $2 == *::up && $first -le 7 && $end -gt 7 ]]; then
    printf "thread 'x' panicked at faults.rs:1:\nthe byte is wrong\nseed 7 failed; to have it back: SIM_SEED=7\n"
    echo 'test result: FAILED. 0 passed; 1 failed'
    exit 101
fi
echo 'test result: ok. 1 passed; 0 failed'
EOF
    chmod +x "$scratch/scenarios"
    export POLLUX_SCENARIOS=$scratch/scenarios
}

test_simulate_counts_seeds_and_names_those_that_fail() {
    fake_scenarios
    expect_says '6 passed, 0 failed' "$SIMULATE" --seeds 0..3 || return 1
    equal "$(sort "$scratch/ran")" $'ran faults::down 0 3\nran faults::up 0 3' || return 1
    expect_says '182 passed, 0 failed' "$SIMULATE" --seeds 008..99 || return 1
    expect_fails 1 '199 passed, 1 failed' "$SIMULATE" --seeds 0..100 || return 1
    expect_fails 1 'the byte is wrong' "$SIMULATE" --seeds 0..100 || return 1
    expect_fails 1 'faults::up failed with seeds 7; to have one back' "$SIMULATE" --seeds 0..100 || return 1
    expect_fails 1 'SIM_SEED=7 cargo test --release --locked -p sim --test scenarios -- --exact faults::up' \
        "$SIMULATE" --seeds 0..100
}

test_simulate_counts_all_seeds_of_a_process_that_died() {
    fake_scenarios
    expect_fails 1 '140 passed, 40 failed' "$SIMULATE" --seeds 120..210 || return 1
    expect_fails 1 'faults::down failed with seeds 170..210' "$SIMULATE" --seeds 120..210
}

test_simulate_that_is_ended_leaves_nothing() {
    local pid test status=0
    cat >"$scratch/scenarios" <<'EOF'
#!/bin/bash
[[ $1 != --list ]] || { echo 'faults::up: test' && exit; }
echo $$ >"${0%/*}/starting"
mv "${0%/*}/starting" "${0%/*}/started"
exec sleep 60
EOF
    chmod +x "$scratch/scenarios"
    mkdir "$scratch/tmp"
    TMPDIR=$scratch/tmp POLLUX_SCENARIOS=$scratch/scenarios "$SIMULATE" --seeds 0..3 >"$scratch/said" 2>&1 &
    pid=$!
    await 10 "$pid" test -e "$scratch/started" || return 1
    test=$(<"$scratch/started")
    kill -TERM "$pid"
    wait "$pid" || status=$?
    equal "$status" 143 || return 1
    await 10 $$ has_ended "$test" || return 1
    equal "$(ls "$scratch/tmp")" ''
}

has_ended() { [[ -z $(start_time "$1") ]]; }

test_simulate_arguments() {
    fake_scenarios
    expect_fails 2 "'--fast' is not understood" "$SIMULATE" --fast || return 1
    expect_fails 2 '--seeds wants a range' "$SIMULATE" --seeds || return 1
    expect_fails 2 "not '12'" "$SIMULATE" --seeds 12 || return 1
    expect_fails 2 "not '1..x'" "$SIMULATE" --seeds 1..x || return 1
    expect_fails 2 'there is no seed in 5..5' "$SIMULATE" --seeds 5..5 || return 1
    expect_fails 1 'has no test faults::' env POLLUX_SCENARIOS=/bin/true "$SIMULATE" || return 1
    expect_says 'simulate.sh [--seeds A..B]' "$SIMULATE" --help || return 1
    [[ ! -e $scratch/ran ]]
}

# --- bench/instructions.sh ---

test_instructions_that_rise_fail() {
    local old=$scratch/old new=$scratch/new
    printf '# counts; rustc 1\none 1000\ntwo 2000\nthree 3000\nfour 4000\nfive 5000\n' | tee "$old" >"$new"
    expect_says '5 passed, 0 failed' "$INSTRUCTIONS" --compare "$old" "$new" || return 1
    sed -i 's/^two .*/two 2040/; s/^five .*/five 1/' "$new"
    expect_says '5 passed, 0 failed' "$INSTRUCTIONS" --compare "$old" "$new" || return 1
    sed -i 's/^two .*/two 2041/' "$new"
    expect_fails 1 'FAILED: more than 2 % above' "$INSTRUCTIONS" --compare "$old" "$new" || return 1
    expect_fails 1 '4 passed, 1 failed' "$INSTRUCTIONS" --compare "$old" "$new" || return 1
    sed -i '/^two/d' "$new"
    expect_fails 1 '4 passed, 1 failed' "$INSTRUCTIONS" --compare "$old" "$new" || return 1
    sed -i 's/rustc 1/rustc 2/' "$new"
    expect_says "skipped: the counts are of 'rustc 1', here is 'rustc 2'" "$INSTRUCTIONS" --compare "$old" "$new"
}

# --- mounts.sh ---

test_mounts_of_others_are_not_seen() {
    ip netns add other
    equal "$(namespaces)" $'/run/netns/other\nother'
    # shellcheck disable=SC2016 # the inner shell expands them
    equal "$(unshare --mount --propagation private bash -c '. "$1/say.sh"; . "$1/mounts.sh"; empty /run; namespaces' - "$here")" ''
    ip netns del other
}

namespaces() {
    awk '$3 == "nsfs" { print $2 }' /proc/mounts
    ip netns
}
export -f namespaces

# --- rehearse.sh ---

test_rehearse_arguments() {
    expect_fails 2 "'ixgbe' is no model: say virtio-net e1000e vmxnet3 vhost" "$REHEARSE" ixgbe || return 1
    expect_fails 2 "'--fast' is no model" "$REHEARSE" virtio-net --fast || return 1
    expect_fails 2 '--fetch stands alone' "$REHEARSE" --fetch virtio-net || return 1
    expect_fails 2 '--fetch stands alone' "$REHEARSE" virtio-net --fetch || return 1
    expect_says 'rehearse.sh [--short] [MODEL...]' "$REHEARSE" --help
}

# Killed while its machine boots; run_tests sees to links, namespaces and mounts.
test_rehearse_killed_leaves_nothing() {
    local pid netns
    "$REHEARSE" virtio-net >"$scratch/rehearsal" 2>&1 &
    pid=$!
    netns=rehearsal-$pid
    await 50 "$pid" machine_of "$netns" || { cat "$scratch/rehearsal" && return 1; }
    kill -TERM "$pid"
    wait "$pid" || true
    if machine_of "$netns" || [[ -e /run/netns/$netns ]]; then
        echo "the machine or its namespace $netns is still there"
        return 1
    fi
}

# machine_of NETNS: whether the machine of that rehearsal runs.
machine_of() { grep -qsz -- "^$1$" /proc/[0-9]*/cmdline; }

# --- what the tests say ---

total() { cat /sys/devices/system/node/node*/hugepages/hugepages-2048kB/nr_hugepages | awk '{ sum += $1 } END { print sum }'; }

# fake_nodes COUNT...: a tree like sysfs's, a node for each COUNT, all its pages free.
fake_nodes() {
    local node=0 count dir
    for count in "$@"; do
        dir=$scratch/nodes/node$node/hugepages/hugepages-2048kB
        mkdir -p "$dir"
        echo "$count" | tee "$dir/nr_hugepages" >"$dir/free_hugepages"
        node=$((node + 1))
    done
}

# on_fake_nodes ARGUMENT...: hugepages.sh on that tree, where a node holds at most `most` pages.
# shellcheck disable=SC2016 # the inner shell expands them
on_fake_nodes() {
    MOST=${most:-1000} bash -c '. "$1"
        shift
        NODES=$scratch/nodes
        RECORDS=$scratch/records
        ETC=$scratch/machine
        unpromised() { echo 1000; }
        set_pages() {
            local dir=$NODES/node$1/hugepages/hugepages-2048kB count=$(($2 < MOST ? $2 : MOST))
            echo $(($(pages "$1" free) + count - $(pages "$1" nr))) >"$dir/free_hugepages"
            echo "$count" >"$dir/nr_hugepages"
        }
        main "$@"' - "$HUGEPAGES" "$@"
}

# use_pages NODE COUNT: COUNT of its pages are in use, the others free.
use_pages() {
    local dir=$scratch/nodes/node$1/hugepages/hugepages-2048kB
    echo $(($(<"$dir/nr_hugepages") - $2)) >"$dir/free_hugepages"
}

# "13 22": pages on each fake node.
counts() { cat "$scratch"/nodes/node*/hugepages/hugepages-2048kB/nr_hugepages | tr '\n' ' ' | sed 's/ $//'; }

# at PORT PATH: what the server in namespace made says.
at() { in_made curl --silent --max-time 2 "http://198.18.0.2:$1/$2"; }

in_made() { ip netns exec made "$@"; }

main "$@"
