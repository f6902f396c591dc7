#!/usr/bin/env bash
# deploy/quickstart.sh: from a fresh Debian 12 to a running Pollux, as root.
#
#   quickstart.sh [--detach] [--port N] [--config FILE] [--data DIR] [--netns NAME] [-- OPTION...]
#   quickstart.sh --stop   end it, clean up
#
#   --detach       in the background (default: until Ctrl-C)
#   --port N       TCP port to answer on (default 8080)
#   --config FILE  what to answer (default: deploy/arena.toml, the routes of the HttpArena workload)
#   --data DIR     where the files are that it names (default: with arena.toml the sample, written into a
#                  directory of this script's; with a FILE of yours, what that says)
#   --netns NAME   keep the link inside network namespace NAME (default: this one)
#   -- OPTION...   the rest goes to `pollux serve` as it stands
#
# Installs the packages and the Rust toolchain that are missing, builds Pollux, reserves hugepages, makes
# the link (see link.sh) and serves on 198.18.0.2. PostgreSQL is where DATABASE_URL says, with the table of
# seed.sql (`pollux sample DIR` writes it); it works without, and says what does not. When it ends, by
# Ctrl-C, --stop or a failure, the server has drained and the link, the hugepages and the sample are gone
# again; packages, toolchain and build stay. What cannot be taken back is named, and `--stop` tries again.
# The configuration is checked before anything is reserved or made. A server that loads many files is waited for: in
# the background as long as its log grows, at most 600 s; 30 s without a new line are too long.
# POLLUX_HUGEPAGES sets the number of 2 MiB pages (default 512), POLLUX_BIN names a binary to run instead
# of building one.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/say.sh
. "$here/say.sh"
# shellcheck source=deploy/record.sh
. "$here/record.sh"
# shellcheck source=deploy/process.sh
. "$here/process.sh"
# shellcheck source=deploy/prerequisites.sh
. "$here/prerequisites.sh"

ADDRESS=198.18.0.2
HUGEPAGES=${POLLUX_HUGEPAGES:-512}
# A server that says nothing new for so long, and does not answer, is given up; one that says that it loads is waited
# for, but not for ever.
START_SECONDS=30
START_SECONDS_MAX=600
DRAIN_SECONDS=15
RECORD=quickstart
LOG=$RECORDS/quickstart.log
SAMPLE=$RECORDS/quickstart-sample

main() {
    local mode=foreground port=8080 data='' config=''
    local -a options=()
    netns=''
    while [[ $# -gt 0 ]]; do
        case $1 in
            -h | --help) show_help && exit ;;
            --detach | --stop) mode=${1#--} && shift ;;
            --port | --config | --data | --netns)
                [[ $# -ge 2 ]] || misuse "$1 wants a value"
                case $1 in
                    --port) need_port --port "$2" && port=$2 ;;
                    --config) config=$(realpath -e -- "$2") || die "--config $2: there is no such file" ;;
                    --data) data=$(realpath -e -- "$2") || die "--data $2: there is no such directory" ;;
                    --netns)
                        [[ $2 =~ ^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}$ ]] || misuse "--netns wants a plain name, not '$2'"
                        netns=$2
                        ;;
                esac
                shift 2
                ;;
            --) options=("${@:2}") && break ;;
            *) misuse "'$1' is not understood" ;;
        esac
    done
    need_root
    if [[ $mode == stop ]]; then
        stop
        return
    fi
    refuse_second
    check_debian
    provide_packages "${BUILD_PACKAGES[@]}"
    provide_pollux release
    if [[ -z $config ]]; then
        config=$here/arena.toml
        data=${data:-$SAMPLE}
    fi
    check_configuration "$config" "$data" "$port" "${options[@]+"${options[@]}"}"
    options=(--config "$config" ${data:+--data "$data"} "${options[@]+"${options[@]}"}")
    start "$mode" "$port" "$config" "$data" "${options[@]}"
}

# check_configuration CONFIG DATA PORT OPTION...: what is wrong with it is said before anything is made for it. The
# sample, which is not there yet, is the built-in one.
check_configuration() {
    local config=$1 data=$2 port=$3
    shift 3
    [[ $data != "$SAMPLE" ]] || data=''
    "$binary" check --config "$config" ${data:+--data "$data"} --address "$ADDRESS/24" --port "$port" "$@" >/dev/null ||
        die "the configuration is refused: see above. Nothing was reserved or made"
}

refuse_second() {
    try_lock quickstart 0 || die "already running (or starting) in another terminal: end it there, or with '$0 --stop'"
    if pid=$(running); then
        die "already running as process $pid, log in $LOG: curl $(url "$(record_value "$RECORD" port)"), or end it with '$0 --stop'"
    fi
    if read_record "$RECORD" >/dev/null; then
        say "an earlier run was cut short: cleaning up after it"
        clean_up
    fi
}

# start MODE PORT CONFIG DATA OPTION...
start() {
    local mode=$1 port=$2 config=$3 data=$4
    shift 4
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    trap clean_up EXIT
    note "netns $netns" "port $port"
    [[ $data != "$SAMPLE" ]] || write_sample
    "$root/hugepages.sh" reserve "$HUGEPAGES" --owner quickstart
    link up
    launch "$mode" "$port" "$@"
    await_answer "$mode" "$port"
    show_what_to_try "$mode" "$port" "$config" "$data"
    if [[ $mode == detach ]]; then
        trap - EXIT
    else
        wait "$pid" || die "pollux ended with status $?: see above"
    fi
}

# Files for every route of arena.toml.
write_sample() {
    rm -rf "$SAMPLE"
    "$binary" sample "$SAMPLE" || die "could not write the sample: see above"
    # shellcheck disable=SC2016 # for the reader's shell
    [[ -z ${DATABASE_URL:-} ]] || say 'DATABASE_URL is set: its server must have the table of the sample. Make it with' \
        "$binary sample DIR &&" 'psql "$DATABASE_URL" --file DIR/seed.sql'
}

# launch MODE PORT OPTION...: sets `pid`. In a session of its own, so that a Ctrl-C in the terminal
# reaches this script alone and the server gets one SIGTERM.
launch() {
    local mode=$1 port=$2
    shift 2
    local -a serve=(serve --link auto --address "$ADDRESS/24" --port "$port" "$@")
    local -a command=("$here/link.sh" exec ${netns:+--netns "$netns"} -- "$binary" "${serve[@]}")
    say "starting pollux ${serve[*]}"
    if [[ $mode == detach ]]; then
        setsid "${command[@]}" >"$LOG" 2>&1 </dev/null {LOCK_FD}>&- &
    else
        setsid "${command[@]}" </dev/null {LOCK_FD}>&- &
    fi
    pid=$!
    note "netns $netns" "port $port" "pid $pid" "started $(start_time "$pid")"
}

# await_answer MODE PORT. In the foreground, what it says is on the terminal, and Ctrl-C ends the waiting.
await_answer() {
    local lines said=0 end=$((SECONDS + START_SECONDS_MAX)) seconds=$START_SECONDS
    [[ $1 == detach ]] || seconds=$START_SECONDS_MAX
    until await "$seconds" "$pid" there curl --noproxy '*' --silent --output /dev/null --max-time 1 "$(url "$2")"; do
        lines=0
        [[ $1 != detach ]] || lines=$(wc -l <"$LOG")
        [[ -n $(start_time "$pid") ]] || fail "pollux does not answer on $(url "$2"): it has ended"
        [[ $lines -gt $said ]] || fail "pollux does not answer on $(url "$2"), and has said nothing new for $seconds s"
        [[ $SECONDS -lt $end ]] || fail "pollux does not answer on $(url "$2") after $START_SECONDS_MAX s"
        said=$lines
    done
}

fail() {
    show_log
    die "$1: see above"
}

# The last words of a server in the background; in the foreground they are on the terminal.
show_log() { [[ ! -s $LOG ]] || tail -n 20 "$LOG" >&2; }

# show_what_to_try MODE PORT CONFIG DATA
show_what_to_try() {
    local prefix=${netns:+ip netns exec $netns }
    printf '\nPollux answers on %s (process %s). Try:\n' "$(url "$2")" "$pid"
    if [[ $3 == "$here/arena.toml" ]]; then
        cat <<TRY
  ${prefix}curl $(url "$2")
  ${prefix}curl '$(url "$2")json/3?m=2'
  ${prefix}curl --data 20 '$(url "$2")baseline11?a=13&b=42'
  ${prefix}curl '$(url "$2")db?min=10&max=12'
TRY
    else
        printf '  %scurl %s\n' "$prefix" "$(url "$2")"
    fi
    printf '  %s/link.sh status%s\n' "$here" "${netns:+ --netns $netns}"
    [[ $3 != "$here/arena.toml" ]] || tell_of_postgres "$4/seed.sql"
    if [[ $1 == detach ]]; then
        printf 'Log: %s. End it with: %s --stop\n' "$LOG" "$0"
    else
        printf 'End it with Ctrl-C.\n'
    fi
}

# tell_of_postgres SEED. The address may hold a password: it is not shown.
tell_of_postgres() {
    if [[ -n ${DATABASE_URL:-} ]]; then
        printf 'PostgreSQL is asked where DATABASE_URL says. %s makes its table:\n' "$1"
        # shellcheck disable=SC2016 # for the reader's shell
        printf '  psql "$DATABASE_URL" --file %s\n' "$1"
    else
        printf 'Without PostgreSQL (DATABASE_URL is not set) /async-db answers empty, /crud/items 503.\n'
        printf '%s makes its table.\n' "$1"
    fi
}

stop() {
    if ! read_record "$RECORD" >/dev/null; then
        say "not running"
        return
    fi
    if ! running >/dev/null; then
        warn "the server had ended by itself"
        show_log
    fi
    clean_up
    [[ -z $left ]] || die "the server has ended, but something stays behind, as said above: '$0 --stop' tries again"
    say "stopped"
}

# Ends the server, if it runs, and takes back what was made for it; `left` says whether something stays behind, and then
# the record stays as well. Safe to repeat.
clean_up() {
    local status=$? pid netns
    left=''
    trap - EXIT
    trap '' INT TERM HUP
    netns=$(record_value "$RECORD" netns)
    if pid=$(running); then
        say "draining process $pid"
        end_process "$pid" "$DRAIN_SECONDS"
    fi
    link down || left=yes
    "$root/hugepages.sh" release --owner quickstart || left=yes
    rm -rf "$LOG" "$SAMPLE"
    [[ -n $left ]] || drop_record "$RECORD"
    trap - INT TERM HUP
    return "$status"
}

# Prints the recorded server's process id; status 1 where it does not run.
running() {
    local pid started
    pid=$(record_value "$RECORD" pid)
    started=$(record_value "$RECORD" started)
    [[ -n $pid && -n $started && $(start_time "$pid") == "$started" ]] || return 1
    printf '%s\n' "$pid"
}

note() { printf '%s\n' "$@" | write_record "$RECORD"; }

link() { "$here/link.sh" "$1" ${netns:+--netns "$netns"}; }

there() { "$here/link.sh" exec ${netns:+--netns "$netns"} -- "$@"; }

url() { printf 'http://%s:%s/\n' "$ADDRESS" "$1"; }

main "$@"
