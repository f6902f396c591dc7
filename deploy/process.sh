# shellcheck shell=bash
# Sourced: waiting for a process to be ready, and ending it. Needs say.sh.

# await SECONDS PID COMMAND...: repeats COMMAND until it succeeds; status 1 where process PID ends first
# or the time is over.
await() {
    local deadline=$((SECONDS + $1)) pid=$2
    shift 2
    until "$@"; do
        [[ -n $(start_time "$pid") && $SECONDS -lt $deadline ]] || return 1
        sleep 0.2
    done
}

# end_process PID SECONDS: asks it to end, and kills it where it has not done so in time.
end_process() {
    local pid=$1 began deadline=$((SECONDS + $2))
    began=$(start_time "$pid")
    [[ -n $began ]] || return 0
    kill -TERM "$pid" 2>/dev/null || return 0
    while [[ $(start_time "$pid") == "$began" ]]; do
        if [[ $SECONDS -ge $deadline ]]; then
            warn "process $pid has not ended in $2 s: killing it"
            kill -KILL "$pid" 2>/dev/null || true
            deadline=$((SECONDS + $2))
        fi
        sleep 0.1
    done
}

# When process PID began, in clock ticks since boot; together with the id it names a process for good.
# Nothing where it has ended, a zombie included; but as long as one of its threads is there, it has its memory.
start_time() {
    local line
    line=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
    line=${line##*) }
    [[ $line == Z* && $(find "/proc/$1/task" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l) -le 1 ]] ||
        awk '{ print $20 }' <<<"$line"
}
