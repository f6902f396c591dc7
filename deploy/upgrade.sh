#!/usr/bin/env bash
# deploy/upgrade.sh: replaces a running Pollux by another one, and no request fails.
#
#   upgrade.sh route --service ADDRESS:PORT --to ADDRESS:PORT    send the service's connections to a server
#   upgrade.sh replace --old NAME --new NAME --ready URL (--service A:P --to A:P | --switch COMMAND)
#                      [--ready-seconds N] [--settle N] [--drain-seconds N] -- START...
#   upgrade.sh unroute                                           take the rules of `route` away
#
# `replace` runs START, which starts the new server (`pollux serve ...`, which stays in the background, or
# `systemctl start ...`), waits until it is ready, moves new connections to it, waits until the old one gets
# none any more, drains the old one and stops it. The two need an admin.name, a link, an address and a
# metrics.listen each. Connections that are open stay with the old server until they end.
#
#   --old, --new NAME   admin.name of the two
#   --ready URL         /readyz of the new one's metrics.listen
#   --service A:P       what clients connect to. The kernel of this machine, where their packets pass,
#                       hands new connections on to --to (nftables and conntrack; needs forwarding)
#   --switch COMMAND    instead: run by the shell with the argument NAME, it moves new connections to that
#                       server, for instance by telling a load balancer. It is run with the old NAME
#                       to take that back.
#   --ready-seconds N   how long the new one may take to be ready (60)
#   --settle N          the old one gets no connections any more when none has come for so long (3: a lost
#                       SYN is sent again after 1 s, and after 3 s)
#   --drain-seconds N   how long connections of the old one may take to end (300)
#
# Exit codes: 0 replaced; 1 not replaced: the old server goes on serving, and the new one is stopped;
# 2 the command line is wrong; 3 the new one serves, and the old one still has connections: it drains on.
# POLLUX_BIN names the binary that speaks to the servers (default: pollux in the PATH).

set -euo pipefail
# The package has it as /usr/sbin/pollux-upgrade, which is a link.
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=deploy/say.sh
. "$here/say.sh"
# shellcheck source=deploy/record.sh
. "$here/record.sh"
# shellcheck source=deploy/process.sh
. "$here/process.sh"

POLLUX=${POLLUX_BIN:-pollux}
TABLE=pollux_service
STOP_SECONDS=20
# How long connections may go on coming to the old server after the switch.
SWITCH_SECONDS=30

main() {
    local verb=${1-}
    old='' new='' ready='' service='' to='' switch='' ready_seconds=60 settle=3 drain_seconds=300
    start=()
    case $verb in
        -h | --help | help) show_help && exit ;;
        route | replace | unroute) shift ;;
        *) misuse "say route, replace or unroute; '$verb' is none of them" ;;
    esac
    while [[ $# -gt 0 ]]; do
        if [[ $verb == replace && $1 == -- ]]; then
            start=("${@:2}")
            break
        fi
        [[ $# -ge 2 ]] || misuse "'$1' is not understood, or lacks its value"
        take_option "$verb" "$1" "$2"
        shift 2
    done
    need_root
    [[ $verb == replace && -n $switch ]] || command -v nft >/dev/null || die "nft is missing: apt-get install nftables"
    [[ $verb != replace ]] || command -v curl >/dev/null || die "curl is missing: apt-get install curl"
    lock upgrade
    case $verb in
        route)
            [[ -n $service && -n $to ]] || misuse "route wants --service and --to"
            route "$to"
            ;;
        unroute) nft delete table ip "$TABLE" || die "there are no rules of route: nothing to take away" ;;
        replace)
            check_replace
            replace
            ;;
    esac
}

take_option() {
    case $1:$2 in
        replace:--old) old=$3 ;;
        replace:--new) new=$3 ;;
        replace:--ready) ready=$3 ;;
        replace:--switch) switch=$3 ;;
        replace:--ready-seconds) need_number "$2" "$3" && ready_seconds=$((10#$3)) ;;
        replace:--settle) need_number "$2" "$3" && settle=$((10#$3)) ;;
        replace:--drain-seconds) need_number "$2" "$3" && drain_seconds=$((10#$3)) ;;
        route:--service | replace:--service) need_socket "$2" "$3" && service=$3 ;;
        route:--to | replace:--to) need_socket "$2" "$3" && to=$3 ;;
        *) misuse "'$2' does not belong to $1" ;;
    esac
}

# The name is also that of the log.
need_name() {
    [[ $2 =~ ^[A-Za-z0-9_.@-]+$ && $2 != .* ]] || misuse "$1 wants the admin.name of a server, not '$2'"
}

need_socket() {
    [[ $2 =~ ^([0-9]{1,3}\.){3}[0-9]{1,3}:[0-9]{1,5}$ ]] ||
        misuse "$1 wants an IPv4 address and a port such as 203.0.113.10:80, not '$2'"
}

check_replace() {
    [[ -n $old && -n $new && -n $ready && ${#start[@]} -gt 0 ]] ||
        misuse "replace wants --old, --new, --ready, and -- with the command that starts the new server"
    need_name --old "$old"
    need_name --new "$new"
    [[ $old != "$new" ]] || misuse "--old and --new are one name: servers on one machine need a name each"
    if [[ -n $switch ]]; then
        [[ -z $service$to ]] || misuse "--switch, or --service and --to, not both"
    else
        [[ -n $service && -n $to ]] || misuse "replace wants --service and --to, or --switch"
    fi
    state_is "$old" serving || die "no server $old serves: start it, or see 'pollux version --name $old'"
    ! state_is "$new" '[a-z]*' || die "a server $new runs already: 'pollux stop --name $new' ends it"
    ! is_ready || die "something answers $ready already: give the new server a metrics.listen of its own"
    previous=''
    if [[ -n $service ]]; then
        previous=$(target)
        [[ -n $previous ]] || die "$service is not routed: run '$0 route --service $service --to' with the" \
            "address of $old first"
    fi
}

replace() {
    pid='' began='' switched=''
    trap 'give_up "interrupted"' INT TERM HUP
    launch
    await_ready || give_up "$new is not ready after at most $ready_seconds s"
    say "$new is ready"
    switched=yes
    switch_to "$new" "$to" || give_up "new connections could not be moved to $new"
    say "new connections go to $new"
    await_quiet || give_up "$old still gets connections $SWITCH_SECONDS s after they were moved"
    trap - INT TERM HUP
    drain
    "$POLLUX" stop --name "$old" --timeout "${STOP_SECONDS}s" >/dev/null ||
        die "$old has drained, but does not stop: see 'pollux version --name $old'"
    say "$old is stopped, $new serves${pid:+ as process $pid, log in $(log)}"
}

# In a session of its own: it outlives this script and its terminal.
launch() {
    say "starting $new: ${start[*]}"
    setsid "${start[@]}" >"$(log)" 2>&1 </dev/null {LOCK_FD}>&- &
    pid=$!
    began=$(start_time "$pid")
}

log() { printf '%s/upgrade-%s.log\n' "$RECORDS" "$new"; }

await_ready() {
    local deadline=$((SECONDS + ready_seconds)) status
    until state_is "$new" serving && is_ready; do
        [[ $SECONDS -lt $deadline ]] || return 1
        if [[ -n $pid ]] && has_ended; then
            # Whoever starts a service ends when it is started.
            status=0
            wait "$pid" || status=$?
            pid=''
            [[ $status -eq 0 ]] || return 1
        fi
        sleep 0.1
    done
}

# Whether what was started has ended, perhaps before it could be looked at.
has_ended() { [[ -z $began || $(start_time "$pid") != "$began" ]]; }

is_ready() { curl --noproxy '*' --silent --fail --output /dev/null --max-time 2 "$ready"; }

# state_is NAME PATTERN: whether a server of that name runs and says so.
state_is() {
    "$POLLUX" version --name "$1" --json 2>/dev/null | grep -q "\"state\":\"$2\""
}

switch_to() {
    if [[ -n $switch ]]; then bash -c "$switch" - "$1"; else route "$2"; fi
}

# route A:P: in one transaction; conntrack keeps what is open where it is.
route() {
    local now
    now=$(target)
    {
        printf 'table ip %s {\n' "$TABLE"
        printf '  map target { type ipv4_addr . inet_service : ipv4_addr . inet_service; }\n'
        printf '}\n'
        [[ -n $now ]] || rules
        [[ -z $now ]] || printf 'delete element ip %s target { %s : %s }\n' "$TABLE" "$(pair "$service")" "$(pair "$now")"
        printf 'add element ip %s target { %s : %s }\n' "$TABLE" "$(pair "$service")" "$(pair "$1")"
    } | nft -f -
}

# The same for clients elsewhere and on this machine. Whole, however often it is added.
rules() {
    local hook
    for hook in prerouting output; do
        printf 'add chain ip %s %s { type nat hook %s priority -100; }\n' "$TABLE" "$hook" "$hook"
        printf 'flush chain ip %s %s\n' "$TABLE" "$hook"
        printf 'add rule ip %s %s dnat ip addr . port to ip daddr . tcp dport map @target\n' "$TABLE" "$hook"
    done
}

# Where new connections to the service go; nothing where there is no rule for it.
target() {
    nft get element ip "$TABLE" target "{ $(pair "$service") }" 2>/dev/null |
        sed -n 's/.* : \([0-9.]*\) \. \([0-9]*\).*/\1:\2/p' || true
}

pair() { printf '%s . %s' "${1%:*}" "${1##*:}"; }

await_quiet() {
    local deadline=$((SECONDS + settle + SWITCH_SECONDS)) since=$SECONDS opened now
    opened=$(opened_by_old) || return 1
    until [[ $((SECONDS - since)) -gt $settle ]]; do
        [[ $SECONDS -lt $deadline ]] || return 1
        sleep 0.2
        now=$(opened_by_old) || return 1
        if [[ $now != "$opened" ]]; then
            opened=$now since=$SECONDS
        fi
    done
}

# Connections that the old server was ever asked for; the sum over its cores comes first.
opened_by_old() {
    local report
    report=$("$POLLUX" stats --name "$old" --json) || return 1
    [[ $report =~ \"connections_opened\":([0-9]+) ]] && printf '%s\n' "${BASH_REMATCH[1]}"
}

drain() {
    local status=0
    "$POLLUX" drain --name "$old" --timeout "${drain_seconds}s" || status=$?
    case $status in
        0) ;;
        3)
            warn "$old still has connections after $drain_seconds s and drains on; $new serves." \
                "End them with 'pollux stop --name $old'"
            exit 3
            ;;
        *) die "$old does not drain: $new serves new connections, and $old those that it has" ;;
    esac
}

# The old server gets new connections as before, and the new one ends.
give_up() {
    trap '' INT TERM HUP
    warn "$1: $old goes on serving"
    if [[ -n $switched ]]; then
        switch_to "$old" "$previous" || warn "new connections could not be moved back to $old: do it by hand"
    fi
    if state_is "$new" '[a-z]*'; then
        "$POLLUX" drain --name "$new" --timeout "${STOP_SECONDS}s" >/dev/null || true
        "$POLLUX" stop --name "$new" --timeout "${STOP_SECONDS}s" >/dev/null || true
    fi
    if [[ -n $pid ]] && ! has_ended; then
        end_process "$pid" "$STOP_SECONDS"
    fi
    tail -n 20 "$(log)" >&2 || true
    die "not replaced; the log of $new is $(log)"
}

main "$@"
