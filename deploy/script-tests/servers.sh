# shellcheck shell=bash
# Sourced: tests of the scripts that look after servers: upgrade.sh, cluster/announce.sh, cluster/sticky.sh, process.sh. Needs
# expect.sh, process.sh and `scratch`.
# shellcheck disable=SC2154,SC2016 # set by script-tests.sh, which sources this file; inner shells expand what is in single quotes

UPGRADE=$here/upgrade.sh
ANNOUNCE=$here/cluster/announce.sh
STICKY=$here/cluster/sticky.sh

# --- upgrade.sh, between servers that are files: real ones are upgraded in control/tests/real/upgrade.rs ---

# fake_servers: `old` serves; a file in $scratch/servers has the state of the server it is named for.
# NAME.silent: it answers no `stats`. NAME.busy: its connections do not end.
fake_servers() {
    rm -rf "$scratch/servers" "$scratch/ready" "$scratch/switched"
    mkdir "$scratch/servers"
    echo serving >"$scratch/servers/old"
    cat >"$scratch/pollux" <<'POLLUX'
#!/usr/bin/env bash
cd "$scratch/servers" && [[ $2 == --name && -e $3 ]] || exit 1
case $1 in
    version) printf '{"server":{"state":"%s"}}\n' "$(<"$3")" ;;
    stats) [[ ! -e $3.silent ]] && printf '{"total":{"connections_opened":5}}\n' ;;
    drain)
        echo draining >"$3"
        [[ ! -e $3.busy ]] || exit 3
        ;;
    stop) rm "$3" ;;
esac
POLLUX
    chmod +x "$scratch/pollux"
}

# replace SWITCH OPTION...: replaces `old` by `new`, which is started as a service is: whoever starts it ends.
# SWITCH has its server as $1; each that it was run with is added to $scratch/switched.
replace() {
    local start='echo serving >"$scratch/servers/new"; touch "$scratch/ready"'
    POLLUX_BIN=$scratch/pollux "$UPGRADE" replace --old old --new new --ready "file://$scratch/ready" --settle 0 \
        --switch 'echo "$1" >>"$scratch/switched"; '"$1" "${@:2}" -- bash -c "${start_with-$start}"
}

switched() { paste -sd ' ' "$scratch/switched"; }

states() { (cd "$scratch/servers" && grep -H . -- * 2>/dev/null | paste -sd ' '); }

test_upgrade_by_a_command() {
    fake_servers
    expect_says 'old is stopped, new serves' replace true || return 1
    equal "$(switched)" new
    equal "$(states)" new:serving
    drop_upgrade_log
}

test_upgrade_whose_command_fails_is_taken_back() {
    fake_servers
    expect_fails 1 'new connections could not be moved to new: old goes on serving' replace '[[ $1 == old ]]' || return 1
    equal "$(switched)" 'new old'
    equal "$(states)" old:serving
    drop_upgrade_log
}

# The old server is lost sight of after the switch: nobody knows whether it still gets connections.
test_upgrade_is_taken_back_after_the_switch() {
    fake_servers
    expect_fails 1 'not replaced' replace 'touch "$scratch/servers/old.silent"' || return 1
    equal "$(switched)" 'new old'
    equal "$(states)" old:serving
    fake_servers
    expect_fails 1 'could not be moved back to old: do it by hand' replace 'touch "$scratch/servers/old.silent"; [[ $1 == new ]]' || return 1
    drop_upgrade_log
}

test_upgrade_from_a_server_whose_connections_do_not_end() {
    fake_servers
    touch "$scratch/servers/old.busy"
    expect_fails 3 'old still has connections after 7 s and drains on; new serves' replace true --drain-seconds 7 || return 1
    equal "$(switched)" new
    equal "$(states)" 'new:serving old:draining'
    drop_upgrade_log
}

test_upgrade_to_a_server_that_is_not_ready() {
    fake_servers
    start_with='echo no such file; exit 1' expect_fails 1 'no such file' replace true || return 1
    start_with='echo serving >"$scratch/servers/new"' expect_fails 1 'not ready after at most 1 s' replace true --ready-seconds 1 || return 1
    [[ ! -e $scratch/switched ]] || return 1
    equal "$(states)" old:serving
    drop_upgrade_log
}

# Nothing may answer for the new server, which is not there yet: neither may a proxy of the operator's.
test_upgrade_asks_no_proxy() {
    local pid
    fake_servers
    python3 -c 'import http.server as h
class Proxy(h.BaseHTTPRequestHandler):
    def do_GET(self): self.send_response(200); self.end_headers()
server = h.HTTPServer(("127.0.0.1", 0), Proxy)
print(server.server_port, flush=True)
server.serve_forever()' >"$scratch/port" 2>"$scratch/proxy" &
    pid=$!
    # shellcheck disable=SC2064 # this one
    trap "kill $pid" EXIT
    await 10 "$pid" grep -q . "$scratch/port" || { cat "$scratch/proxy" && return 1; }
    local -x http_proxy
    http_proxy=http://127.0.0.1:$(<"$scratch/port")
    curl --silent --fail --output /dev/null http://127.0.0.1:1/readyz || { echo "the proxy does not answer" && return 1; }
    expect_fails 1 'not ready after at most 1 s' replace true --ready http://127.0.0.1:1/readyz --ready-seconds 1 || return 1
    drop_upgrade_log
}

drop_upgrade_log() { rm /run/pollux/upgrade-new.log; }

test_upgrade_misuse() {
    local -a options=(replace --old old --new new --ready http://127.0.0.1:1/readyz)
    fake_servers
    export POLLUX_BIN=$scratch/pollux
    expect_fails 2 'route, replace or unroute' "$UPGRADE" || return 1
    expect_fails 2 'wants --service and --to' "$UPGRADE" route --service 203.0.113.10:80 || return 1
    expect_fails 2 'an IPv4 address and a port' "$UPGRADE" route --service example:80 || return 1
    expect_fails 2 'does not belong to route' "$UPGRADE" route --old old || return 1
    expect_fails 2 'lacks its value' "$UPGRADE" unroute --service || return 1
    expect_fails 2 'the command that starts the new server' "$UPGRADE" "${options[@]}" --switch true || return 1
    expect_fails 2 'wants --service and --to, or --switch' "$UPGRADE" "${options[@]}" -- true || return 1
    expect_fails 2 'not both' "$UPGRADE" "${options[@]}" --switch true --to 198.18.1.2:80 -- true || return 1
    expect_fails 2 'whole number' "$UPGRADE" "${options[@]}" --settle soon -- true || return 1
    expect_fails 2 'are one name' "$UPGRADE" "${options[@]}" --new old --switch true -- true || return 1
    expect_fails 2 "--new wants the admin.name of a server, not '../new'" "$UPGRADE" "${options[@]}" --new ../new --switch true -- true || return 1
    expect_fails 1 'no server other serves' "$UPGRADE" "${options[@]}" --old other --switch true -- true || return 1
    expect_fails 1 'there are no rules of route' "$UPGRADE" unroute || return 1
    expect_says 'upgrade.sh replace' "$UPGRADE" --help
}

# --- cluster/announce.sh, cluster/sticky.sh: the cluster of control/tests/real/cluster.rs has real routers ---

# The answer of /readyz is what stands in $scratch/answer.
test_announce_while_it_is_ready() {
    local pid status=0
    mkdir -p "$scratch/bin"
    # A proxy could say 200 for a server that is not there.
    printf '#!/bin/bash\n[[ $1 == --noproxy && $2 == "*" ]] && cat "$scratch/answer"\n' >"$scratch/bin/curl"
    chmod +x "$scratch/bin/curl"
    echo 200 >"$scratch/answer"
    # What a script that was killed has left.
    ip address add 192.0.2.10/32 dev lo
    PATH=$scratch/bin:$PATH "$ANNOUNCE" --service 192.0.2.10/32 --interval 0.05 >"$scratch/announced" 2>&1 &
    pid=$!
    await 10 "$pid" grep -q 'withdrew 192.0.2.10/32: not asked yet' "$scratch/announced" || { cat "$scratch/announced" && return 1; }
    await 10 "$pid" has_service || { cat "$scratch/announced" && return 1; }
    echo 503 >"$scratch/answer"
    await 10 "$pid" has_no_service || { cat "$scratch/announced" && return 1; }
    grep -q 'readyz says 503' "$scratch/announced"
    echo 200 >"$scratch/answer"
    await 10 "$pid" has_service || return 1
    echo 000 >"$scratch/answer"
    await 10 "$pid" has_no_service || return 1
    grep -q 'readyz does not answer' "$scratch/announced"
    echo 200 >"$scratch/answer"
    await 10 "$pid" has_service || return 1
    kill -TERM "$pid"
    wait "$pid" || status=$?
    equal "$status" 0
    has_no_service
}

has_service() { [[ -n $(ip -brief address show dev lo to 192.0.2.10/32) ]]; }
has_no_service() { ! has_service; }

test_announce_misuse() {
    local address
    for address in '' 192.0.2.10 192.0.2.10/24 192.0.2.256/32 2001:db8::1/128; do
        expect_fails 2 'wants one address' "$ANNOUNCE" --service "$address" || return 1
    done
    expect_fails 2 'wants one address' "$ANNOUNCE" || return 1
    expect_fails 2 'wants seconds' "$ANNOUNCE" --service 192.0.2.10/32 --interval 0 || return 1
    expect_fails 2 'wants seconds' "$ANNOUNCE" --service 192.0.2.10/32 --interval fast || return 1
    expect_fails 2 'wants a URL' "$ANNOUNCE" --service 192.0.2.10/32 --ready '' || return 1
    expect_fails 2 'lacks its value' "$ANNOUNCE" --service || return 1
    expect_fails 2 'not understood' "$ANNOUNCE" --verbose yes || return 1
    expect_fails 1 'the capability NET_ADMIN' setpriv --bounding-set=-net_admin "$ANNOUNCE" --service 192.0.2.10/32 || return 1
    ip link add other type veth peer name stranger
    ip address add 192.0.2.10/32 dev other
    expect_fails 1 '192.0.2.10/32 is on other' "$ANNOUNCE" --service 192.0.2.10/32 || return 1
    ip link del other
    expect_says 'announce.sh --service' "$ANNOUNCE" --help
}

test_sticky_misuse() {
    expect_fails 2 'up, down or status' "$STICKY" || return 1
    expect_fails 2 'wants --service ADDRESS and a SERVER' "$STICKY" up --service 192.0.2.10 || return 1
    expect_fails 2 'wants --service ADDRESS and a SERVER' "$STICKY" up 10.0.0.2 || return 1
    expect_fails 2 'SERVER wants an address' "$STICKY" up --service 192.0.2.10 10.0.0.256 || return 1
    expect_fails 2 '--service wants an address' "$STICKY" up --service || return 1
    expect_fails 2 '--service wants an address' "$STICKY" up --service 192.0.2.10/32 10.0.0.2 || return 1
    expect_fails 2 'not understood' "$STICKY" up --fast || return 1
    expect_fails 2 'does not belong to down' "$STICKY" down 10.0.0.2 || return 1
    expect_fails 1 'forwards nothing' "$STICKY" up --service 192.0.2.10 10.0.0.2 || return 1
    expect_fails 3 down "$STICKY" status || return 1
    expect_says 'sticky.sh up' "$STICKY" --help
}

# --- process.sh ---

# A process whose first thread has ended is a zombie, and has its memory until the last one ends.
test_a_process_has_ended_when_its_last_thread_has() {
    local pid status=0
    python3 -c '
import ctypes, signal, threading, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
threading.Thread(target=time.sleep, args=(60,)).start()
ctypes.CDLL(None).pthread_exit(None)' &
    pid=$!
    timeout 10 bash -c "until grep -qs '^State:.*Z' /proc/$pid/status; do sleep 0.05; done" || return 1
    expect_says 'has not ended in 1 s: killing it' bash -c ". '$here/say.sh'; . '$here/process.sh'; end_process $pid 1" || return 1
    { wait "$pid" || status=$?; } 2>/dev/null
    equal "$status" 137
}
