# shellcheck shell=bash
# Sourced in the virtual machine: bind and serve are killed at random moments, and the port comes back.
# shellcheck disable=SC2034,SC2154 # set or used by steps.sh and the files it sources

UNBIND_SECONDS=30

# kill_rounds LIMIT_MS: each round kills between the first moment of the bind and LIMIT_MS later; the last one when
# the server serves, which not every device forgets.
kill_rounds() {
    local round delay moment kills
    kills=$(setting kills)
    for ((round = 1; round <= kills; round++)); do
        delay=$((RANDOM % $1))
        moment="$delay ms after the bind began"
        [[ $round -lt $kills ]] || delay=ready moment='when it serves'
        kill_after "$delay"
        check "kill $round, $moment, port $state: unbind" timeout "$UNBIND_SECONDS" pollux nic unbind "$PORT"
        check_back "kill $round" "$PORT_ADDRESS"
    done
    check "the last kill hit a server" test "${state%serving}" != "$state"
    ask ping "$PORT_ADDRESS"
}

# kill_after MS|ready: begins to bind and then to serve, in a process group that is killed then; sets `state` to what
# held the port.
kill_after() {
    local group
    : >/tmp/killed.log
    set -m
    bind_and_serve >>/tmp/killed.log 2>&1 &
    group=$!
    set +m
    if [[ $1 == ready ]]; then
        await "$READY_SECONDS" grep -q ' ready: ' /tmp/killed.log
    else
        sleep "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))"
    fi
    kill -KILL -- "-$group"
    wait "$group" 2>/dev/null
    cat /tmp/killed.log
    state="with $(driver "$PORT")"
    if grep -q ' ready: ' /tmp/killed.log; then state+=', serving'; fi
}

bind_and_serve() {
    pollux nic bind "$PORT" --force address --yes && exec "${SERVE[@]}" --cores 1
}
