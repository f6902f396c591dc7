#!/usr/bin/env bash
# hugepages.sh: reserves 2 MiB hugepages for Pollux and gives back exactly those.
#
#   hugepages.sh show                                  what each NUMA node has, and what is ours
#   hugepages.sh reserve N [--node K] [--owner NAME]   have N pages of ours, spread over the nodes
#   hugepages.sh release [--owner NAME]                give back what this script reserved
#   hugepages.sh persist N [--node K]                  have N pages reserved at every boot from now on
#   hugepages.sh apply                                 have them now, as far as they are not there
#   hugepages.sh unpersist                             no longer
#
#   --node K      all N pages on node K; what is ours (or persisted) on other nodes stays as it is
#   --owner NAME  whose pages these are (default: pollux). Each owner's are counted apart.
#
# N is a total, not an addition: to reserve N twice leaves N. Pages that something else reserved are
# never counted as ours and never taken away. What is ours is written down under
# /run/pollux/hugepages. A release gives back only pages that nobody uses; it says how many are still
# in use, and by which processes, and then ends with status 1. A reservation that would leave less than 256 MiB
# available for the rest of the machine is refused.
#
# persist and unpersist change files below /etc and no page of this boot: a sysctl drop-in, or with --node
# one of systemd-tmpfiles, since sysctl has no key for a node. Pages reserved at boot are in no owner's
# record: they stay until the next boot. A file of that name that this script did not write is refused.
#
# apply adds what is missing of what is persisted, takes nothing away, and ends with status 1 where the kernel
# does not give it. pollux-hugepages.service runs it before each start of a server.

set -euo pipefail
# The package has it as /usr/sbin/pollux-hugepages, which is a link.
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=deploy/say.sh
. "$here/deploy/say.sh"
# shellcheck source=deploy/record.sh
. "$here/deploy/record.sh"

NODES=/sys/devices/system/node
MIB_PER_PAGE=2
MARGIN_MIB=256
ETC=/etc
SYSCTL_FILE=sysctl.d/60-pollux-hugepages.conf
TMPFILES_FILE=tmpfiles.d/pollux-hugepages.conf
MARK='# Written by hugepages.sh of Pollux; hugepages.sh unpersist removes this file.'

main() {
    local verb=${1-} count='' node='' owner=pollux
    case $verb in
        -h | --help | help) show_help && exit ;;
        show | release | apply | unpersist) shift ;;
        reserve | persist)
            [[ $# -ge 2 ]] || misuse "$verb wants a number of pages"
            need_number "$verb" "$2"
            count=$((10#$2))
            shift 2
            ;;
        *) misuse "say show, reserve N, release, persist N, apply or unpersist; '$verb' is none of them" ;;
    esac
    while [[ $# -gt 0 ]]; do
        [[ $# -ge 2 ]] || misuse "'$1' is not understood, or lacks its value"
        case $verb:$1 in
            reserve:--node | persist:--node) need_number --node "$2" && node=$((10#$2)) ;;
            reserve:--owner | release:--owner) owner=$2 ;;
            *) misuse "'$1' does not belong to $verb" ;;
        esac
        shift 2
    done
    [[ $owner =~ ^[A-Za-z0-9_.@-]+$ && $owner != .* ]] || misuse "--owner wants a plain name, not '$owner'"
    find_nodes
    case $verb in
        show) show ;;
        reserve)
            begin "$owner"
            reserve "$count" "$node"
            ;;
        release)
            begin "$owner"
            release
            ;;
        persist | apply | unpersist)
            need_root
            lock hugepages
            "$verb" "$count" "$node"
            ;;
    esac
}

# Fills `nodes` with the numbers of the NUMA nodes that can hold 2 MiB pages.
find_nodes() {
    local dir
    nodes=()
    for dir in "$NODES"/node[0-9]*/hugepages/hugepages-2048kB; do
        [[ -d $dir ]] || continue
        dir=${dir#"$NODES"/node}
        nodes+=("${dir%%/*}")
    done
    [[ ${#nodes[@]} -gt 0 ]] || die "this kernel has no 2 MiB hugepages (no $NODES/node*/hugepages/hugepages-2048kB):" \
        "boot one with CONFIG_HUGETLBFS on an x86-64 or arm64 CPU"
}

# Takes the lock and fills `ours` (by node) from the owner's record.
begin() {
    local node
    need_root
    lock hugepages
    record=hugepages/$1
    ours=()
    for node in "${nodes[@]}"; do
        ours[node]=$(record_value "$record" "$node")
        ours[node]=${ours[node]:-0}
    done
}

show() {
    local node
    printf '%-6s %8s %8s %8s  %s\n' node pages free surplus 'reserved by hugepages.sh'
    for node in "${nodes[@]}"; do
        printf '%-6s %8d %8d %8d  %s\n' "$node" "$(pages "$node" nr)" "$(pages "$node" free)" \
            "$(pages "$node" surplus)" "$(owners_on "$node")"
    done
    printf 'Pages are of %d MiB. ' "$MIB_PER_PAGE"
    mounts_line
    at_boot
}

# owners_on NODE: "512 pollux, 64 tests", or "none".
owners_on() {
    local path owner count line=''
    for path in "$RECORDS"/hugepages/*; do
        owner=${path##*/}
        count=$(record_value "hugepages/$owner" "$1")
        [[ ${count:-0} -eq 0 ]] || line+="${line:+, }$count $owner"
    done
    printf '%s\n' "${line:-none}"
}

mounts_line() {
    local mounts
    mounts=$(awk '$3 == "hugetlbfs" { printf "%s%s", sep, $2; sep = ", " }' /proc/mounts)
    if [[ -n $mounts ]]; then
        printf 'hugetlbfs is mounted on %s.\n' "$mounts"
    else
        printf 'No hugetlbfs is mounted; Pollux needs none (it runs DPDK with --in-memory), other programs may.\n'
    fi
}

# reserve COUNT NODE: NODE is empty to spread COUNT over all nodes.
reserve() {
    local node share
    local -a target=("${ours[@]+"${ours[@]}"}")
    if [[ -n $2 ]]; then
        [[ " ${nodes[*]} " == *" $2 "* ]] || die "there is no NUMA node $2 with 2 MiB pages: nodes are ${nodes[*]}"
        for node in "${nodes[@]}"; do target[node]=${ours[node]}; done
        target[$2]=$1
    else
        share=0
        for node in "${nodes[@]}"; do
            target[node]=$(($1 / ${#nodes[@]} + (share < $1 % ${#nodes[@]})))
            share=$((share + 1))
        done
    fi
    check_memory
    for node in "${nodes[@]}"; do
        [[ ${target[node]} -ge ${ours[node]} ]] || shrink "$node" $((ours[node] - target[node])) ||
            warn "node $node: keeps $left pages more than asked, they are in use"
    done
    grow_all
}

# Refuses a reservation larger than the memory that could be freed for it, where the kernel would empty its caches,
# slowly, and then fail all the same; and one that leaves too little for everything else.
check_memory() {
    local node more=0 free_mib
    for node in "${nodes[@]}"; do
        [[ ${target[node]} -le ${ours[node]} ]] || more=$((more + target[node] - ours[node]))
    done
    free_mib=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
    [[ $more -eq 0 || $((more * MIB_PER_PAGE + MARGIN_MIB)) -le $free_mib ]] ||
        die "$more more pages are $((more * MIB_PER_PAGE)) MiB, $free_mib MiB are available, and $MARGIN_MIB MiB must be" \
            "left for the rest of the machine: reserve at most $((free_mib > MARGIN_MIB ? (free_mib - MARGIN_MIB) / MIB_PER_PAGE : 0)) more, or free memory"
}

# Adds what each node lacks of `target`; on the first refusal gives back what this call added.
grow_all() {
    local node more got
    local -a added=()
    for node in "${nodes[@]}"; do
        more=$((target[node] - ours[node]))
        if [[ $more -le 0 ]]; then
            [[ $more -lt 0 ]] || say "node $node: ${ours[node]} pages of ours, nothing to change"
            continue
        fi
        got=0
        grow "$node" "$more"
        added[node]=$got
        [[ $got -eq $more ]] && continue
        undo
        die "the kernel gave $got of $more pages: no more contiguous memory." \
            "Reserve fewer, free the page cache (echo 1 > /proc/sys/vm/drop_caches) and try again," \
            "or reserve at boot with hugepages=$more on the kernel's command line"
    done
}

# Gives back what `grow_all` has `added`.
undo() {
    local node
    for node in "${!added[@]}"; do shrink "$node" "${added[node]}" || true; done
}

# grow NODE COUNT: adds pages of ours and leaves in `got` how many the kernel gave.
grow() {
    local before
    before=$(pages "$1" nr)
    add_pages "$1" "$2"
    ours[$1]=$((ours[$1] + got))
    keep
    say "node $1: $before -> $((before + got)) pages (+$got, $((got * MIB_PER_PAGE)) MiB), ${ours[$1]} of ours"
}

# add_pages NODE COUNT: leaves in `got` how many the kernel gave.
add_pages() {
    local before want
    before=$(pages "$1" nr)
    want=$((before + $2))
    set_pages "$1" "$want"
    if [[ $(pages "$1" nr) -lt $want ]]; then
        { echo 1 >/proc/sys/vm/compact_memory; } 2>/dev/null || true
        set_pages "$1" "$want"
    fi
    got=$(($(pages "$1" nr) - before))
    [[ $got -ge 0 ]] || got=0
}

# shrink NODE COUNT: gives back up to COUNT of our pages, those that are free; status 1 and the rest in
# `left` where some are in use.
shrink() {
    local before after want=$2
    before=$(pages "$1" nr)
    if [[ $want -gt $before ]]; then
        warn "node $1: has $before pages, so $((want - before)) of ours are gone already: something else took them away"
        ours[$1]=$((ours[$1] - want + before))
        want=$before
    fi
    set_pages "$1" $((before - $(least "$want" "$(pages "$1" free)" "$(unpromised)")))
    after=$(pages "$1" nr)
    left=$((want - before + after))
    ours[$1]=$((ours[$1] - before + after))
    keep
    say "node $1: $before -> $after pages (-$((before - after)), $(((before - after) * MIB_PER_PAGE)) MiB), ${ours[$1]} of ours"
    [[ $left -eq 0 ]]
}

release() {
    local node left in_use=0
    for node in "${nodes[@]}"; do
        if [[ ${ours[node]} -eq 0 ]]; then
            say "node $node: nothing of ours"
            continue
        fi
        shrink "$node" "${ours[node]}" || in_use=$((in_use + left))
    done
    [[ $in_use -eq 0 ]] ||
        die "$in_use pages of ours are still in use by $(holders): end what holds them and release again"
}

# The processes that have hugepages mapped, with how much.
holders() {
    local path pid kib line=''
    for path in /proc/[0-9]*; do
        pid=${path##*/}
        kib=$(awk '/^HugetlbPages:/ { print $2 }' "$path/status" 2>/dev/null || true)
        [[ ${kib:-0} -eq 0 ]] ||
            line+="${line:+, }process $pid ($(cat "$path/comm" 2>/dev/null || true), $((kib / 1024)) MiB)"
    done
    printf '%s\n' "${line:-no process that is seen from here (a file on a hugetlbfs, or another container)}"
}

# Writes `ours` down, or forgets the record where nothing is left.
keep() {
    local node total=0
    for node in "${nodes[@]}"; do total=$((total + ours[node])); done
    if [[ $total -eq 0 ]]; then
        drop_record "$record"
    else
        for node in "${nodes[@]}"; do printf '%s %s\n' "$node" "${ours[node]}"; done | write_record "$record"
    fi
}

# persist COUNT NODE: NODE is empty for the machine's pages. One of the two files holds what is persisted:
# the other one, if it is ours, goes.
persist() {
    local other
    [[ $1 -gt 0 ]] || misuse "to persist no pages, say unpersist"
    must_be_ours "$SYSCTL_FILE"
    must_be_ours "$TMPFILES_FILE"
    check_persisted "$1" "$2"
    if [[ -n $2 ]]; then
        other=$SYSCTL_FILE
        persist_on_node "$1" "$2"
    else
        other=$TMPFILES_FILE
        printf 'vm.nr_hugepages = %d\n' "$1" | write_drop_in "$SYSCTL_FILE"
    fi
    [[ ! -e $ETC/$other ]] || remove_drop_in "$other"
    at_boot
    say "pages of 1 GiB can only be had at boot, from the kernel's command line. On Debian, add" \
        "'default_hugepagesz=1G hugepagesz=1G hugepages=$((($1 * MIB_PER_PAGE + 1023) / 1024))' to GRUB_CMDLINE_LINUX in" \
        "/etc/default/grub, run update-grub, say '$0 unpersist', and restart"
}

# check_persisted COUNT NODE: refuses what could not come true at boot.
check_persisted() {
    local total_mib default path
    total_mib=$(awk '/^MemTotal:/ { print int($2 / 1024) }' /proc/meminfo)
    [[ $(($1 * MIB_PER_PAGE)) -lt $total_mib ]] ||
        die "$1 pages are $(($1 * MIB_PER_PAGE)) MiB, and this machine has $total_mib MiB: persist fewer"
    if [[ -n $2 ]]; then
        [[ " ${nodes[*]} " == *" $2 "* ]] || die "there is no NUMA node $2 with 2 MiB pages: nodes are ${nodes[*]}"
        return
    fi
    default=$(awk '/^Hugepagesize:/ { print $2 }' /proc/meminfo)
    [[ $default -eq $((MIB_PER_PAGE * 1024)) ]] ||
        die "this kernel's default hugepages are of $default kB, which is what sysctl counts:" \
            "use hugepages=N on the kernel's command line, or name a node for pages of 2 MiB (--node ${nodes[0]})"
    for path in "$ETC"/sysctl.conf "$ETC"/sysctl.d/*.conf; do
        [[ $path != "$ETC/$SYSCTL_FILE" ]] || continue
        ! grep -qsE '^[[:space:]]*-?vm[./]nr_hugepages[[:space:]]*=' "$path" ||
            die "$path sets vm.nr_hugepages as well, and one of the two would be lost: take it out there"
    done
}

# persist_on_node COUNT NODE: lines of other nodes stay.
persist_on_node() {
    local setting=$NODES/node$2/hugepages/hugepages-2048kB/nr_hugepages
    {
        settings "$TMPFILES_FILE" | awk -v setting="$setting" '$2 != setting'
        printf 'w %s - - - - %d\n' "$setting" "$1"
    } | sort | write_drop_in "$TMPFILES_FILE"
}

# Boot applied these files when memory was not fragmented yet; what the kernel did not give then, or what was
# persisted since, is asked for now.
apply() {
    local file first key value found=''
    for file in "$SYSCTL_FILE" "$TMPFILES_FILE"; do
        [[ -e $ETC/$file ]] || continue
        must_be_ours "$file"
        found=yes
        while read -r first key value; do
            case $first in
                w) key=${key#"$NODES/node"} && have "${value##* }" "${key%%/*}" ;;
                *) have "$value" "${nodes[@]}" ;;
            esac
        done < <(settings "$file")
    done
    [[ -n $found ]] || say "nothing is persisted"
}

# have COUNT NODE...: sees that these nodes have COUNT pages together, whoever reserved them.
have() {
    local count=$1 total=0 node missing left
    shift
    for node in "$@"; do total=$((total + $(pages "$node" nr))); done
    missing=$((count - total)) left=$#
    if [[ $missing -le 0 ]]; then
        say "$count pages are persisted, $total are there"
        return
    fi
    for node in "$@"; do
        # What one node does not give, the ones after it are asked for.
        add_pages "$node" $(((missing + left - 1) / left))
        missing=$((missing - got)) left=$((left - 1))
    done
    [[ $missing -eq 0 ]] ||
        die "$count pages are persisted, $((count - missing)) are there, and the kernel has no contiguous memory for the" \
            "rest: restart the machine, free the page cache (echo 1 > /proc/sys/vm/drop_caches), or persist fewer"
    say "$count pages are persisted, $total were there: added $((count - total))"
}

unpersist() {
    local file found=''
    must_be_ours "$SYSCTL_FILE"
    must_be_ours "$TMPFILES_FILE"
    for file in "$SYSCTL_FILE" "$TMPFILES_FILE"; do
        [[ -e $ETC/$file ]] || continue
        found=yes
        remove_drop_in "$file"
    done
    if [[ -z $found ]]; then
        say "nothing is persisted"
    else
        say "pages that were reserved at boot stay until the next one"
    fi
}

# What is reserved at boot, in a line.
at_boot() {
    local file line='' first key value
    for file in "$SYSCTL_FILE" "$TMPFILES_FILE"; do
        [[ -e $ETC/$file ]] || continue
        if ! is_ours "$file"; then
            line+="${line:+; }$ETC/$file is not of hugepages.sh"
            continue
        fi
        while read -r first key value; do
            case $first in
                w) key=${key#"$NODES/node"} line+="${line:+; }${value##* } pages on node ${key%%/*} ($ETC/$file)" ;;
                *) line+="${line:+; }$value pages ($ETC/$file)" ;;
            esac
        done < <(settings "$file")
    done
    printf 'At boot: %s.\n' "${line:-nothing is persisted}"
}

# settings FILE: its lines but comments; nothing where there is no file.
settings() { sed '/^#/d' "$ETC/$1" 2>/dev/null || true; }

# write_drop_in FILE: the lines on standard input become the file, under our mark, whole or not at all.
write_drop_in() {
    local path=$ETC/$1
    mkdir -p "${path%/*}"
    { printf '%s\n' "$MARK" && cat; } >"$path.new"
    chmod 644 "$path.new"
    if cmp -s "$path.new" "$path"; then
        rm "$path.new"
        say "$path: nothing to change"
    else
        mv "$path.new" "$path"
        say "wrote $path"
    fi
}

remove_drop_in() { rm "$ETC/$1" && say "removed $ETC/$1"; }

is_ours() {
    local first=''
    { IFS= read -r first <"$ETC/$1"; } 2>/dev/null || true
    [[ $first == "$MARK" ]]
}

must_be_ours() {
    [[ ! -e $ETC/$1 ]] || is_ours "$1" ||
        die "$ETC/$1 was not written by hugepages.sh: look into it, and move it away if it is not needed"
}

# pages NODE nr|free|surplus
pages() { cat "$NODES/node$1/hugepages/hugepages-2048kB/$2_hugepages"; }

set_pages() {
    local path=$NODES/node$1/hugepages/hugepages-2048kB/nr_hugepages
    { echo "$2" >"$path"; } 2>/dev/null ||
        die "cannot write $path: in a container, start it with --privileged"
}

# Free pages that no mapping has been promised; the kernel counts promises for all nodes together.
unpromised() {
    awk '/^HugePages_Free:/ { count += $2 } /^HugePages_Rsvd:/ { count -= $2 } END { print count }' /proc/meminfo
}

least() { printf '%s\n' "$@" | sort -n | head -n 1; }

[[ ${BASH_SOURCE[0]} != "$0" ]] || main "$@"
