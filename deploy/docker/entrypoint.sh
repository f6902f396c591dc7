#!/usr/bin/env bash
# deploy/docker/entrypoint.sh: the first process of a container of Pollux.
#
#   entrypoint.sh [serve] [--publish PORT|none] [OPTION...]   make a link, serve on it, remove it at the end
#   entrypoint.sh check [OPTION...]                           what `pollux check` says of the same configuration
#   entrypoint.sh healthy                                     status 0 while the server of this container answers
#   entrypoint.sh clean-up                                    remove what a container that was killed has left
#   entrypoint.sh COMMAND...                                  any other command of pollux
#
#   --publish PORT  the TCP port of this network namespace that Pollux answers, on every address and on localhost
#                   (default: its own port, listen.port); none: only on the link
#   OPTION...       goes to `pollux serve` as it stands
#
# Any key of the configuration may come as POLLUX_SECTION_KEY, DATABASE_URL and DATABASE_MAX_CONN as usual. A file
# /etc/pollux/pollux.toml is the configuration and a directory /data that is not empty holds the data, unless
# something else is named.
#
# Where link.device is "auto", the link is the first that works of: the one NIC that is bound to vfio-pci, vhost,
# AF_XDP on a veth, AF_PACKET on it, TAP. It is made in the network namespace of the container, which with
# --network host is the host's. Hugepages are taken as `pollux check` counts them: those that are free, or else
# reserved for this container; without any, memory is in ordinary pages. All of that is said.
# SIGTERM and SIGINT drain and end, within deadlines.withdraw and deadlines.drain; docker kills after its stop timeout
# (--stop-timeout, 10 s), and where that is too short this is said. SIGHUP reloads. What was made is written down
# under /run/pollux.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=deploy/say.sh
. "$here/say.sh"
# shellcheck source=deploy/record.sh
. "$here/record.sh"
# shellcheck source=deploy/process.sh
. "$here/process.sh"

ADDRESS=198.18.0.2/24
CONFIG=/etc/pollux/pollux.toml
DATA=/data
START_SECONDS=60
# Beyond what the configuration gives a stop: for the server to release its port, and to remove the link.
RELEASE_SECONDS=1
REMOVE_SECONDS=1
# What `docker stop` waits before it kills, where nothing else is said.
DOCKER_STOP_SECONDS=10
RECORD=container

main() {
    # With --read-only.
    [[ -w /tmp ]] || export TMPDIR=$RECORDS
    case ${1-} in
        -h | --help) show_help && exit ;;
        clean-up)
            must_be_alone
            clean_up
            exit
            ;;
        check)
            read_arguments "${@:2}"
            exec pollux check "${options[@]}"
            ;;
        healthy)
            answers
            exit
            ;;
        serve) shift ;;
        '' | -*) ;;
        *) exec pollux "$@" ;;
    esac
    read_arguments "$@"
    must_be_alone
    clean_up
    trap 'stopping=yes' TERM INT
    trap '[[ -z $pid ]] || kill -HUP "$pid" 2>/dev/null || true' HUP
    trap leave EXIT
    choose_memory
    plan_stop
    choose_link
    [[ -z $stopping ]] || exit 0
    launch
    await_ready || start_without_hugepages
    [[ -n $stopping ]] || publish
    local status=0
    attend || status=$?
    tell_end "$status"
    return "$status"
}

# Sets `options`, those of `pollux serve`, and `port`, what is to be published.
read_arguments() {
    port='' pid='' stopping=''
    options=()
    while [[ $# -gt 0 ]]; do
        if [[ $1 == --publish ]]; then
            [[ $# -ge 2 ]] || misuse "--publish wants a port or none"
            [[ $2 == none ]] || need_port --publish "$2"
            port=$2
            shift 2
        elif [[ $1 == -h || $1 == --help ]]; then
            exec pollux serve --help
        else
            options+=("$1")
            shift
        fi
    done
    if [[ -e $CONFIG ]] && ! is_given --config; then
        [[ ! -d $CONFIG ]] || die "$CONFIG is a directory: docker makes one where the file to mount is not there on the host"
        options+=(--config "$CONFIG")
    fi
    [[ -z $(find "$DATA" -mindepth 1 -maxdepth 1 -print -quit 2>/dev/null) ]] ||
        is_given --data data.directory POLLUX_DATA_DIRECTORY || options+=(--data "$DATA")
}

# is_given OPTION [KEY VARIABLE]: whether the caller has said it.
is_given() {
    local option
    [[ -z ${3-} || -z ${!3-} ]] || return 0
    for option in "${options[@]+"${options[@]}"}"; do
        [[ $option != "$1" && $option != "$1="* && (-z ${2-} || $option != *"$2="*) ]] || return 0
    done
    return 1
}

must_be_alone() {
    [[ $EUID -eq 0 ]] || die "wants to be root in the container: leave out --user"
    try_lock "$RECORD" 0 ||
        die "another container of Pollux serves in this network namespace: stop it first, or start this one in a network of its own"
}

# check: what `pollux check` says of the configuration, in `plan`; its errors end the container.
check() {
    local status=0
    plan=$(pollux check "${options[@]}") || status=$?
    [[ $status -eq 0 ]] || exit "$status"
}

# planned WORD: what `plan` says on the line that begins with WORD.
planned() { sed -n "s/^$1 *//p" <<<"$plan" | head -n 1; }

# Has as many hugepages as the plan takes, or goes without.
choose_memory() {
    local want free
    check
    want=$(planned memory | sed -n 's/.* takes about \([0-9]*\) hugepages .*/\1/p')
    if [[ -z $want ]]; then
        say "memory: $(planned memory)"
        return
    fi
    free=$(awk '/^HugePages_Free:/ { n += $2 } /^HugePages_Rsvd:/ { n -= $2 } END { print n }' /proc/meminfo)
    if [[ $free -ge $want ]]; then
        say "memory: $want of $free free hugepages"
        return
    fi
    note "hugepages $want"
    if "$here/../hugepages.sh" reserve "$want" --owner "$RECORD"; then
        say "memory: reserved $want hugepages for this container"
        return
    fi
    options+=(--set memory.pages=ordinary)
    say "memory: ordinary pages, since $want hugepages are wanted and $free are free: slower, and a PCI device cannot be used"
    check
}

# Sets `stop_seconds`, what the server gets to end in.
plan_stop() {
    local wanted
    stop_seconds=$(planned stop | sed -n 's/^takes up to \([0-9]*\) s.*/\1/p')
    stop_seconds=$((stop_seconds + RELEASE_SECONDS))
    wanted=$((stop_seconds + REMOVE_SECONDS))
    [[ $wanted -le $DOCKER_STOP_SECONDS ]] ||
        say "stop: $(planned stop). Docker kills after its stop timeout, $DOCKER_STOP_SECONDS s unless the container" \
            "was started with another: docker run --stop-timeout $wanted, or stop_grace_period: ${wanted}s in a compose file"
}

# Sets `link`, what to give as --link, empty where the configuration names one; makes the link.
choose_link() {
    local device kind reason
    link=''
    device=$(planned link)
    if [[ $device != auto ]]; then
        say "link: $device, as configured"
        return
    fi
    if reason=$(find_nic); then
        link=pci:$reason
        say "link: $link, which is bound to vfio-pci"
        return
    fi
    say "link: no PCI device: $reason"
    ! "$here/link.sh" status >/dev/null ||
        die "a link is up in this network namespace that no container made: end its user, then run deploy/link.sh down (pollux-link down, where the package is installed)"
    for kind in vhost veth tap; do
        if make_link "$kind"; then
            link=auto
            return
        fi
    done
    die "no link could be made: start the container with deploy/docker-run.sh, or at least with" \
        "--cap-add NET_ADMIN --device /dev/net/tun --sysctl net.ipv4.ip_forward=1"
}

# Prints the NIC to take, or why there is none, with status 1.
find_nic() {
    local -a nics
    mapfile -t nics < <(pollux nic list 2>/dev/null | awk '/^[0-9a-f]+:/ && $3 == "vfio-pci" { print $1 }')
    if [[ ${#nics[@]} -eq 0 ]]; then
        echo "no NIC is bound to vfio-pci (pollux nic bind)"
    elif [[ ${#nics[@]} -gt 1 ]]; then
        echo "several are bound to vfio-pci (${nics[*]}): name one with POLLUX_LINK_DEVICE"
    elif ! compgen -G '/dev/vfio/*[0-9]' >/dev/null; then
        echo "${nics[0]} is bound to vfio-pci, and its group is not in /dev/vfio (--device /dev/vfio)"
    elif [[ $(planned memory) == ordinary* ]]; then
        echo "${nics[0]} wants hugepages"
    elif [[ $(planned serve) == *"network $ADDRESS"* ]]; then
        echo "${nics[0]} wants an address of its network: POLLUX_LISTEN_ADDRESS"
    else
        echo "${nics[0]}"
        return 0
    fi
    return 1
}

# make_link KIND: makes it and asks Pollux whether it would take it; otherwise says why not and takes it back.
make_link() {
    local said verdicts workers
    if [[ $1 == vhost && ! -c /dev/vhost-net ]]; then
        say "link: no vhost: there is no /dev/vhost-net (on the host: modprobe vhost_net)"
        return 1
    fi
    workers=$(planned cores | sed 's/;.*//' | tr ',' '\n' | grep -c .)
    note "link $1"
    if ! said=$("$here/link.sh" up --kind "$1" --queues "$workers" 2>&1); then
        say "link: no $1: $said"
        return 1
    fi
    check
    verdicts=$(sed -n 's/^ *here: //p' <<<"$plan")
    if [[ $verdicts == *': first choice'* ]]; then
        say "link: $1, in the network namespace of $(interfaces)"
        return 0
    fi
    say "link: no $1: ${verdicts//$'\n'/; }"
    "$here/link.sh" down >/dev/null
    return 1
}

# "lo, eth0": whoever reads it knows whose namespace that is.
interfaces() { ip -brief link show | awk '$1 !~ /^pollux/ { sub(/@.*/, "", $1); printf "%s%s", sep, $1; sep = ", " }'; }

# In a session of its own, so that a Ctrl-C in the terminal reaches this script alone and the server gets one SIGTERM.
launch() {
    note "admin $(planned admin)"
    say "starting pollux serve ${link:+--link $link }${options[*]}"
    setsid pollux serve ${link:+--link "$link"} "${options[@]}" </dev/null {LOCK_FD}>&- &
    pid=$!
}

await_ready() {
    await "$START_SECONDS" "$pid" is_ready || [[ -n $stopping ]]
}

# Other programs may have taken the hugepages between the count and the start, or this container may not use them.
start_without_hugepages() {
    if [[ $link == auto && $(planned memory) != ordinary* && -z $(start_time "$pid") ]]; then
        say "memory: pollux did not start with hugepages, once more with ordinary pages"
        options+=(--set memory.pages=ordinary)
        check
        launch
        await_ready && return
    fi
    [[ -z $(start_time "$pid") ]] || die "pollux has not begun to serve in $START_SECONDS s: see above"
    local status=0
    attend || status=$?
    tell_end "$status"
    [[ $status -ne 0 ]] || status=1
    exit "$status"
}

is_ready() { [[ -n $stopping ]] || answers; }

# Asks the server on the socket that the configuration names.
answers() {
    local socket
    socket=$(record_value "$RECORD" admin | tail -n 1)
    [[ -n $socket ]] && pollux stats --directory "${socket%/*}" --name "$(basename "$socket" .sock)" >/dev/null 2>&1
}

# tell_end STATUS
tell_end() {
    say "pollux has ended with status $1"
    [[ $1 -ne 137 || -n $stopping ]] ||
        say "it was killed: where the container's memory is limited (--memory), it was too little: give more, or lower limits.connections"
}

# Forwards the port, where there is a link of ours to forward to.
publish() {
    local address
    address=$(planned serve | sed -n 's,^http://\([0-9.:]*\)/.*,\1,p')
    if [[ $port == none || $link != auto ]]; then
        note "serving $address"
        say "serving on $address; no port of this network namespace is forwarded"
        return
    fi
    "$here/docker/publish.sh" up "${port:-${address##*:}}" "$address" || exit
    note "serving $address"
    say "serving on $address and on port ${port:-${address##*:}} of this network namespace"
}

# note LINE: adds it to the record.
note() { { read_record "$RECORD" || true; echo "$1"; } | write_record "$RECORD"; }

# Waits for the server's end; its status.
attend() {
    while [[ -n $(start_time "$pid") ]]; do
        if [[ -n $stopping ]]; then
            end_process "$pid" "$stop_seconds"
        else
            # A signal interrupts it.
            wait "$pid" || true
        fi
    done
    wait "$pid"
}

leave() {
    local status=$?
    trap '' TERM INT HUP EXIT
    [[ -z $pid ]] || end_process "$pid" "$stop_seconds"
    clean_up
    exit "$status"
}

# Takes back what this container made, or one before it. Safe to repeat.
clean_up() {
    read_record "$RECORD" >/dev/null || return 0
    "$here/docker/publish.sh" down || true
    remove_socket
    [[ -z $(record_value "$RECORD" link) ]] || "$here/link.sh" down || true
    # Pages that another program uses meanwhile are given back later: the record stays.
    [[ -z $(record_value "$RECORD" hugepages) ]] || "$here/../hugepages.sh" release --owner "$RECORD" || return 0
    drop_record "$RECORD"
}

# The socket of a server that was killed, unless another server listens there by now.
remove_socket() {
    local socket
    while read -r socket; do
        [[ ! -S $socket || -n $(ss -H -l -x src "$socket") ]] || rm -f "$socket"
    done < <(record_value "$RECORD" admin)
}

main "$@"
