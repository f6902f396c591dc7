# shellcheck shell=bash
# Sourced by docker-tests.sh: whether anything is left of the tests when they are killed in the middle. What is
# compared is the machine as it is outside of the host of the tests, in namespaces in which nobody else makes anything.
# shellcheck disable=SC2154 # that script and the other files it sources set them

# run_killed WORD: adds to `passed` and `failed`.
run_killed() {
    local signal name before after
    for signal in TERM KILL; do
        name=tests_ended_by_${signal,,}_leave_nothing
        [[ $name == *"$1"* ]] || continue
        before=$(machine)
        if kill_tests "$signal" >"$scratch/said" 2>&1; then
            after=$(machine)
            if [[ $before == "$after" ]]; then
                printf 'ok      %s\n' "$name"
                passed=$((passed + 1))
                continue
            fi
            diff <(printf '%s\n' "$before") <(printf '%s\n' "$after") >>"$scratch/said" || true
        fi
        printf 'FAILED  %s\n' "$name"
        sed 's/^/        /' "$scratch/said"
        failed=$((failed + 1))
    done
}

# kill_tests SIGNAL: starts this script anew, and kills it while a container serves.
kill_tests() {
    local pid run
    IMAGES=$scratch/data setsid "$0" --start --hold </dev/null &
    pid=$!
    await 90 "$pid" is_held || { end_process "$pid" 5 && return 1; }
    run=$(held)
    # There is something to leave.
    [[ $(machine) != "$before" ]] || return 1
    kill -"$1" "$pid"
    wait "$pid" || true
    await 30 $$ is_gone "${run%/*}" || { echo "${run%/*} is still there" && return 1; }
}

held() { find "$work" -mindepth 2 -maxdepth 2 -path '*/run.*/held'; }

is_held() { [[ -n $(held) ]]; }

is_gone() { [[ ! -e $1 ]]; }

# The run that is to be killed: a container serves with a link, a published port and hugepages.
hold() {
    serve_here --publish 8080 || return 1
    touch "$scratch/held"
    sleep 120 &
    wait
}

# What the machine has that a run could leave; processes are those of its dockerd and of its containers.
machine() {
    local process
    ip -brief link | awk '{ print "link", $1 }'
    ip route show table all | sed 's/^/route /'
    nft list ruleset
    ip netns | sed 's/^/namespace /'
    awk '{ print "mount", $2, $3 }' /proc/mounts
    find /sys/fs/cgroup -path "*/$CGROUPS/*" -prune -printf 'cgroup %p\n'
    mkdir -p "$RECORDS/hugepages"
    pages "$RECORDS/hugepages"
    find "$work" -mindepth 1 -maxdepth 1 -printf 'directory %f\n'
    { grep -lszE "$work/run\.|$CGROUPS" /proc/[0-9]*/{cmdline,cgroup} 2>/dev/null || true; } | cut -d / -f 3 | sort -u |
        while read -r process; do
            [[ $process == "$sweeper" ]] || sed 's/^/process /' "/proc/$process/comm" 2>/dev/null || true
        done
}
