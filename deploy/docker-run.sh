#!/usr/bin/env bash
# deploy/docker-run.sh: runs Pollux in a container with the rights and devices it can use, as root.
#
#   docker-run.sh [OPTION...] [-- SERVE_OPTION...]   until Ctrl-C, or with --detach in the background
#   docker-run.sh --stop [--name NAME]               end it, and remove what a container that was killed has left
#
#   --image IMAGE   (default pollux; docker build --file deploy/Dockerfile --tag pollux .)
#   --name NAME     of the container (default pollux)
#   --detach        in the background, once it serves
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
# passed on. The configuration is checked first; docker then gives the container as long to stop as deadlines.withdraw and
# deadlines.drain say (--stop-timeout). At its end the container removes the link, the forwarding and the hugepages it made; what
# they are is written down under the host's /run/pollux, so that this can be done after a kill, too.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/say.sh
. "$here/say.sh"
# shellcheck source=deploy/record.sh
. "$here/record.sh"

# How long docker waits for a container to end, at least. Beyond what the configuration gives the server: to release its
# port, and to remove the link.
STOP_SECONDS=10
REMOVE_SECONDS=2
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
                    --publish) need_port --publish "$2" && port=$2 ;;
                    --data) { [[ -d $2 ]] && data=$(realpath -e -- "$2"); } || die "--data $2: there is no such directory" ;;
                    --config) { [[ -f $2 ]] && config=$(realpath -e -- "$2"); } || die "--config $2: there is no such file" ;;
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
    # Whoever stops a container need not know how it was started.
    [[ $mode != stop || ! -d $RECORDS/bridge-$name ]] || bridge=yes
    owner=${bridge:+bridge-$name/}container
    records=$RECORDS${bridge:+/bridge-$name}
    choose_words
    if [[ $mode == stop ]]; then
        stop
        return
    fi
    docker image inspect "$image" >/dev/null 2>&1 ||
        die "there is no image $image: docker build --file deploy/Dockerfile --tag $image ."
    start "$mode" "${serve[@]+"${serve[@]}"}"
}

# Sets `rights`, what `docker run` is to give, `place`, where the link is, and `passed`, what else the server sees.
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
    place=()
    [[ -n $bridge ]] || place=(--network host)
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
    trap 'stop; exit 130' INT
    trap 'stop; exit 143' TERM HUP
    tell_devices
    [[ -z $bridge || -z $port ]] || passed+=(--publish "$port:$port")
    plan_stop "$@"
    mkdir -p "$records"
    is_unused || die "another container of Pollux serves in this network namespace: stop it first, or use --bridge"
    remove_rest
    local -a command=(docker run --name "$name" "${rights[@]}" "${place[@]+"${place[@]}"}"
        "${passed[@]+"${passed[@]}"}" --stop-timeout "$stop_seconds" "${words[@]+"${words[@]}"}"
        --detach "$image" serve --publish "${port:-none}" "$@")
    say "${command[*]}"
    "${command[@]}" >/dev/null || { status=$?; remove; exit "$status"; }
    if [[ $mode == foreground ]]; then
        # In a session of its own: a Ctrl-C in the terminal is for this script, which then stops the container.
        setsid docker logs --follow "$name" &
        wait "$!" || true
        status=$(docker wait "$name")
        remove
        exit "$status"
    fi
    await_serving
    trap - INT TERM HUP
    say "container $name serves. Log: docker logs $name. End it with: $0 --stop --name $name"
}

# plan_stop SERVE_OPTION...: sets `stop_seconds`, after the configuration was checked as the container will see it.
plan_stop() {
    local plan status=0
    # A word that lets it restart is taken back: docker refuses it together with --rm.
    plan=$(docker run "${place[@]+"${place[@]}"}" "${passed[@]+"${passed[@]}"}" "${words[@]+"${words[@]}"}" \
        --restart no --rm "$image" check "$@") || status=$?
    [[ $status -eq 0 ]] || exit "$status"
    stop_seconds=$(sed -n 's/^stop *takes up to \([0-9]*\) s.*/\1/p' <<<"$plan")
    [[ -n $stop_seconds ]] || die "the image $image does not say how long a stop may take: build it anew"
    stop_seconds=$((stop_seconds + REMOVE_SECONDS))
    [[ $stop_seconds -ge $STOP_SECONDS ]] || stop_seconds=$STOP_SECONDS
}

# Until the container says that it serves; its words and its status where it ends before that.
await_serving() {
    local status
    until [[ -n $(record_value "$owner" serving) ]]; do
        if [[ $(docker container inspect --format '{{ .State.Running }} {{ .RestartCount }}' "$name") != 'true 0' ]]; then
            # Of one that restarts, 0.
            status=$(docker container inspect --format '{{ .State.ExitCode }}' "$name")
            docker logs --tail 20 "$name"
            warn "container $name has ended before it served: see above"
            remove
            exit "$((status == 0 ? 1 : status))"
        fi
        sleep 0.2
    done
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
        docker stop "$name" >/dev/null
        status=$(docker container inspect --format '{{ .State.ExitCode }}' "$name")
        docker logs --tail 5 "$name"
        say "container $name has ended with status $status"
    else
        say "there is no container $name"
    fi
    remove
}

# What a container that was killed has left; one that serves there keeps what it has.
remove_rest() {
    if [[ -e $records/container ]] && is_unused; then
        say "the container could not remove all it made: doing so"
        docker run --rm "${rights[@]}" "${place[@]+"${place[@]}"}" "$image" clean-up
    fi
}

# Removes the container, and what it could not remove itself.
remove() {
    docker rm --force --volumes "$name" >/dev/null 2>&1 || true
    remove_rest
    [[ -z $bridge || -e $records/container ]] || rm -rf "$records"
}

# Whether no other container serves where this one did: it would hold the lock.
is_unused() (try_lock "$owner" 0)

main "$@"
