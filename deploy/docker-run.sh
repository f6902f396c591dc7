#!/usr/bin/env bash
# deploy/docker-run.sh: runs Pollux in a container with the rights and devices it can use, as root.
#
#   docker-run.sh [OPTION...] [-- SERVE_OPTION...]   until Ctrl-C, or with --detach in the background
#   docker-run.sh --stop [--name NAME]               end it, and remove what a container that was killed has left
#
#   --image IMAGE   (default pollux; docker build --file deploy/Dockerfile --tag pollux .)
#   --name NAME     of the container (default pollux)
#   --detach        in the background
#   --publish PORT  answer on this port of the host as well, localhost included
#   --bridge        a network namespace of the container's own: the link is in there, and --publish becomes docker's
#                   (default: the host's namespace)
#   --data DIR      becomes /data
#   --config FILE   becomes /etc/pollux/pollux.toml
#   --drop CAP      everything that --privileged gives but this capability, for a host that does not have it
#   --docker WORD   one word for `docker run`, such as --docker --read-only --docker --memory=1g; may be repeated
#   SERVE_OPTION    goes to `pollux serve` as it stands
#
# The container is privileged and so has the host's hugepages and, where they exist, /dev/vfio, /dev/vhost-net and
# /dev/net/tun; which of them do is said. Variables POLLUX_*, DATABASE_URL and DATABASE_MAX_CONN of this shell are
# passed on. At its end the container removes the link, the forwarding and the hugepages it made; what
# they are is written down under the host's /run/pollux, so that this can be done after a kill, too.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/say.sh
. "$here/say.sh"
# shellcheck source=deploy/record.sh
. "$here/record.sh"

STOP_SECONDS=10
# What the scripts use of that form, and the server does not know.
NOT_PASSED=' POLLUX_BIN POLLUX_COUNTERS POLLUX_HUGEPAGES '

main() {
    local mode=foreground
    local -a serve=()
    image=pollux name=pollux port='' bridge='' data='' config='' drop=''
    words=()
    while [[ $# -gt 0 ]]; do
        case $1 in
            -h | --help) show_help && exit ;;
            --detach | --stop) mode=${1#--} && shift ;;
            --bridge) bridge=yes && shift ;;
            --) serve=("${@:2}") && break ;;
            --image | --name | --publish | --data | --config | --drop | --docker)
                [[ $# -ge 2 ]] || misuse "$1 wants a value"
                case $1 in
                    --image) image=$2 ;;
                    --name) name=$2 ;;
                    --publish) need_number --publish "$2" && port=$((10#$2)) ;;
                    --data) data=$(realpath -e -- "$2") || die "--data $2: there is no such directory" ;;
                    --config) config=$(realpath -e -- "$2") || die "--config $2: there is no such file" ;;
                    --drop) drop=$2 ;;
                    --docker) words+=("$2") ;;
                esac
                shift 2
                ;;
            *) misuse "'$1' is not understood" ;;
        esac
    done
    [[ $name =~ ^[A-Za-z0-9][A-Za-z0-9_.-]*$ ]] || misuse "--name wants a plain name, not '$name'"
    need_root
    command -v docker >/dev/null || die "docker is missing: apt-get install docker.io"
    docker version >/dev/null || die "docker does not answer: is its service running?"
    records=$RECORDS${bridge:+/bridge-$name}
    choose_words
    if [[ $mode == stop ]]; then
        stop
        return
    fi
    start "$mode" "${serve[@]+"${serve[@]}"}"
}

# Sets `rights`, what `docker run` is to give, and `passed`, what else the server sees.
choose_words() {
    local device variable
    if [[ -z $drop ]]; then
        rights=(--privileged)
    else
        rights=(--cap-add ALL --cap-drop "$drop" --security-opt seccomp=unconfined --security-opt apparmor=unconfined
            --security-opt systempaths=unconfined --volume /sys/devices/system/node:/sys/devices/system/node)
        for device in /dev/vfio /dev/vhost-net /dev/net/tun; do
            [[ ! -e $device ]] || rights+=(--device "$device")
        done
    fi
    rights+=(--volume "$records:$RECORDS")
    [[ -n $bridge ]] || rights+=(--network host)
    passed=()
    for variable in $(compgen -e POLLUX_) DATABASE_URL DATABASE_MAX_CONN; do
        [[ -z ${!variable-} || $NOT_PASSED == *" $variable "* ]] || passed+=(--env "$variable")
    done
    [[ -z $data ]] || passed+=(--volume "$data:/data:ro")
    [[ -z $config ]] || passed+=(--volume "$config:/etc/pollux/pollux.toml:ro")
}

# start MODE SERVE_OPTION...
start() {
    local mode=$1 status=0
    shift
    ! docker container inspect "$name" >/dev/null 2>&1 || die "there is a container $name: end it with '$0 --stop --name $name'"
    tell_devices
    [[ -z $bridge || -z $port ]] || passed+=(--publish "$port:$port")
    mkdir -p "$records"
    local -a command=(docker run --name "$name" "${rights[@]}" "${passed[@]+"${passed[@]}"}" "${words[@]+"${words[@]}"}"
        --detach "$image" serve --publish "${port:-none}" "$@")
    say "${command[*]}"
    "${command[@]}" >/dev/null || { status=$?; remove; exit "$status"; }
    if [[ $mode == foreground ]]; then
        trap 'stop; exit 130' INT
        trap 'stop; exit 143' TERM HUP
        # In a session of its own: a Ctrl-C in the terminal is for this script, which then stops the container.
        setsid docker logs --follow "$name" &
        wait "$!" || true
        status=$(docker wait "$name")
        remove
        exit "$status"
    fi
    say "container $name runs. Log: docker logs $name. End it with: $0 --stop${bridge:+ --bridge} --name $name"
}

tell_devices() {
    local device
    for device in /dev/vfio /dev/vhost-net /dev/net/tun; do
        if [[ -e $device ]]; then say "$device: there"; else say "$device: this host has none"; fi
    done
    say "hugepages: $(awk '/^HugePages_Total:/ { total = $2 } /^HugePages_Free:/ { print $2 " free of " total }' /proc/meminfo)"
}

# Asks the container to end, waits for it, and removes it.
stop() {
    local status
    trap '' INT TERM HUP
    if docker container inspect "$name" >/dev/null 2>&1; then
        docker stop --time "$STOP_SECONDS" "$name" >/dev/null
        status=$(docker container inspect --format '{{ .State.ExitCode }}' "$name")
        docker logs --tail 5 "$name"
        say "container $name has ended with status $status"
    else
        say "there is no container $name"
    fi
    remove
}

# Removes the container, and what it could not remove itself.
remove() {
    docker rm --force --volumes "$name" >/dev/null 2>&1 || true
    if [[ -e $records/container ]]; then
        say "the container could not remove all it made: doing so"
        docker run --rm "${rights[@]}" "$image" clean-up
    fi
    [[ -z $bridge || -e $records/container ]] || rm -rf "$records"
}

main "$@"
