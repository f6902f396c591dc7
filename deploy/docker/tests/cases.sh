# shellcheck shell=bash
# Sourced by docker-tests.sh: the tests. Each is a function test_*, run in a process of its own on the host of the
# tests; whatever it leaves behind counts against it.
# shellcheck disable=SC2154 # that script and the other files it sources set them

LINK_URL=http://198.18.0.2:8080
LOCAL_URL=http://localhost:8080
UPLINK_URL=http://192.0.2.1:8080
START_SECONDS=60
# Few connections: little memory, and a quick start.
FEW=(--set limits.connections=1024)

# run_tests WORD
run_tests() {
    local name before after began passed=0 failed=0
    for name in $(declare -F | sed -n "s/^declare -f test_//p" | grep -- "$1" || true); do
        before=$(footprint)
        began=$SECONDS
        if timeout --foreground --kill-after 5 "$TEST_SECONDS" "$0" --test "$name" >"$scratch/said" 2>&1; then
            after=$(footprint)
            if [[ $before == "$after" ]]; then
                printf 'ok      %s (%s s)\n' "$name" "$((SECONDS - began))"
                grep '^skipped: ' "$scratch/said" || true
                passed=$((passed + 1))
                continue
            fi
            diff <(printf '%s\n' "$before") <(printf '%s\n' "$after") >>"$scratch/said" || true
        fi
        printf 'FAILED  %s\n' "$name"
        docker logs pollux >>"$scratch/said" 2>&1 || true
        sed 's/^/        /' "$scratch/said"
        "${run[@]}" --stop >/dev/null 2>&1 || true
        "${run[@]}" --stop --bridge >/dev/null 2>&1 || true
        failed=$((failed + 1))
    done
    printf '%d %d\n' "$passed" "$failed" >"$scratch/count"
    [[ $failed -eq 0 ]]
}

# What a test must leave as it was.
footprint() {
    ip -brief link | awk '{ print "link", $1 }' | grep -v '^link veth' || true
    ip -4 route show table all | sed 's/^/route /; s/ linkdown//'
    nft list ruleset
    sysctl --all --pattern 'net.ipv4.(ip_forward|conf.(all|default|lo|up0).(forwarding|route_localnet))'
    awk '$2 !~ "^/run/docker/" { print "mount", $2, $3 }' /proc/mounts
    pages "$scratch/others"
    find /run/pollux ! -type d ! -name '*.lock' | sed 's/^/record /'
    find /run/pollux -type d -name 'bridge-*' | sed 's/^/directory /'
    docker ps --all --format 'container {{ .Names }}'
    docker volume ls --format 'volume {{ .Name }}'
}

test_image_is_small_and_says_how_it_is() {
    local size
    size=$(($(docker image inspect --format '{{ .Size }}' pollux) - $(docker image inspect --format '{{ .Size }}' debian:bookworm-slim)))
    [[ $size -lt $((80 << 20)) ]] || { echo "$((size >> 20)) MiB on top of the base" && return 1; }
    docker run --rm --entrypoint bash pollux -c '! compgen -G "/var/lib/apt/lists/*_Packages" && ! type gcc cargo dpkg-dev 2>/dev/null'
    expect_says "DPDK 22.11" docker run --rm pollux version
    expect_says "--publish PORT" docker run --rm pollux --help
    # What messages name is there.
    expect_says "\`pollux-hugepages reserve" docker run --rm --entrypoint pollux pollux check
    expect_says "pollux-hugepages reserve N" docker run --rm --entrypoint pollux-hugepages pollux --help
    expect_says "pollux-link up" docker run --rm --entrypoint pollux-link pollux --help
    expect_says "Usage: pollux serve" docker run --rm pollux serve --help
    expect_says "takes up to 8 s" docker run --rm pollux check
}

test_host_namespace_serves_host_network_and_containers() {
    write_site one
    serve_here --publish 8080 --config "$scratch/site.toml" --data "$scratch/www"
    log_has "link: no PCI device: no NIC is bound to vfio-pci"
    [[ -c /dev/vhost-net ]] || log_has "link: no vhost: there is no /dev/vhost-net"
    [[ -c /dev/vhost-net ]] || log_has "link auto: AF_XDP: first choice"
    log_has "in the network namespace of lo, up0"
    equal "$(ask "$LINK_URL")" one
    equal "$(ask "$LOCAL_URL")" one
    equal "$(ask http://127.0.0.1:8080)" one
    equal "$(ask "$UPLINK_URL")" one
    equal "$(in_world curl --silent --max-time 5 "$UPLINK_URL")" one
    equal "$(from_container curl --silent --max-time 5 "$UPLINK_URL")" one
    # The host has not become a router for anything else.
    ! in_world ping -c 1 -W 1 10.9.0.2 >/dev/null
    wrk_is_served wrk "$LOCAL_URL"
    wrk_is_served from_container wrk "$UPLINK_URL"
    await 30 $$ is_healthy
    write_site two
    docker exec pollux pollux reload
    equal "$(ask "$LOCAL_URL")" two
    write_site three
    docker kill --signal HUP pollux >/dev/null
    await 10 $$ answers three "$LOCAL_URL"
    stops_in_time_under_load
}

test_bridge_mode_with_a_published_port() {
    serve_in_bridge
    log_has "in the network namespace of lo, eth0"
    equal "$(ask "$LOCAL_URL/pipeline")" ok
    equal "$(in_world curl --silent --max-time 5 "$UPLINK_URL/pipeline")" ok
    equal "$(from_container curl --silent --max-time 5 http://pollux:8080/pipeline)" ok
    wrk_is_served wrk "$LOCAL_URL/pipeline"
    # Nothing of it is in the host's namespace.
    [[ -z $(nft list ruleset) && ! -e /sys/class/net/pollux0 ]]
    stops_in_time_under_load --bridge
}

test_read_only_with_a_memory_limit() {
    serve_in_bridge --docker --read-only --docker --memory=256m
    equal "$(docker inspect --format '{{ .HostConfig.ReadonlyRootfs }} {{ .HostConfig.Memory }}' pollux)" "true $((256 << 20))"
    wrk_is_served wrk "$LOCAL_URL/json/5?m=3"
    equal "$(docker inspect --format '{{ .State.OOMKilled }}' pollux)" false
    # The script finds out by itself that it was --bridge.
    stops
}

test_too_little_memory_is_said() {
    local said status=0
    said=$(docker run --name pollux --network "$NETWORK" --cap-add NET_ADMIN --device /dev/net/tun --sysctl net.ipv4.ip_forward=1 \
        --memory 64m pollux --set memory.pages=ordinary 2>&1) || status=$?
    equal "$status" 137
    [[ $said == *"pollux has ended with status 137"*"it was too little"* ]] || { echo "$said" && return 1; }
    docker rm --volumes pollux >/dev/null
}

# Longer than docker's own 10 s: the container would be killed, or the server in it.
test_stop_lasts_as_long_as_the_configuration_says() {
    POLLUX_DEADLINES_WITHDRAW=11s serve_here
    equal "$(docker inspect --format '{{ .Config.StopTimeout }}' pollux)" 21
    log_has "docker run --stop-timeout 21"
    expect_says "ended with status 0" "${run[@]}" --stop
}

test_admin_socket_of_another_name() {
    write_site one
    printf '[admin]\nname = "shop"\ndirectory = "/run/pollux/shops"\n' >>"$scratch/site.toml"
    serve_here --config "$scratch/site.toml" --data "$scratch/www"
    [[ -S /run/pollux/shops/shop.sock ]]
    await 30 $$ is_healthy
    docker kill pollux >/dev/null
    expect_says "ended with status 137" "${run[@]}" --stop
    rmdir /run/pollux/shops
}

test_second_container_is_refused_or_has_a_namespace_of_its_own() {
    local second=("${run[@]}" --name second)
    serve_here
    expect_fails 1 "another container of Pollux serves in this network namespace" "${second[@]}" -- "${FEW[@]}"
    "${second[@]}" --detach --bridge --publish 8080 --docker "--network=$NETWORK" -- "${FEW[@]}" >/dev/null
    equal "$(ask "$LOCAL_URL/pipeline")" ok
    expect_says "ended with status 0" "${second[@]}" --stop
    equal "$(ask "$LINK_URL/pipeline")" ok
    stops
}

# Docker's own rights and NET_ADMIN: /proc/sys and /sys cannot be written. More connections than there are free
# hugepages for.
test_plain_docker_run_takes_a_tap_and_ordinary_pages() {
    local free
    free=$(awk '/^HugePages_Free:/ { print $2 }' /proc/meminfo)
    plain --cap-add NET_ADMIN --device /dev/net/tun --sysctl net.ipv4.ip_forward=1 --publish 8080:8080 pollux \
        --set "limits.connections=$((free * 64 + 2048))"
    log_has "cannot write /sys/devices/system/node"
    log_has "memory: ordinary pages, since"
    log_has "link: no veth: "
    log_has "cannot hide pollux0 from the kernel"
    log_has "TAP: first choice"
    equal "$(ask "$LOCAL_URL/pipeline")" ok
    equal "$(in_world curl --silent --max-time 5 "$UPLINK_URL/pipeline")" ok
    plain_stops
}

test_without_the_right_to_load_programs_af_packet_is_taken() {
    plain --cap-add NET_ADMIN --device /dev/net/tun --security-opt systempaths=unconfined --publish 8080:8080 pollux "${FEW[@]}"
    log_has "AF_XDP: this process may not: it lacks CAP_SYS_ADMIN"
    log_has "AF_PACKET: first choice"
    equal "$(ask "$LOCAL_URL/pipeline")" ok
    plain_stops
}

test_keys_and_the_database_come_from_the_environment() {
    local said
    plain --cap-add NET_ADMIN --device /dev/net/tun --sysctl net.ipv4.ip_forward=1 --publish 8080:9090 \
        --env POLLUX_LISTEN_PORT=9090 --env POLLUX_LIMITS_CONNECTIONS=1024 --env POLLUX_MEMORY_PAGES=ordinary \
        --env DATABASE_URL=postgres://user:hush-hush@192.0.2.77/shop --env DATABASE_MAX_CONN=3 pollux
    equal "$(ask "$LOCAL_URL/pipeline")" ok
    said=$(docker exec pollux pollux config show)
    [[ $said == *'listen.port = "9090"'*POLLUX_LISTEN_PORT* && $said == *192.0.2.77* && $said == *'postgres.connections = "3"'*DATABASE_MAX_CONN* ]] ||
        { echo "$said" && return 1; }
    [[ $said$(docker logs pollux 2>&1) != *hush-hush* ]] || { echo "the password is shown" && return 1; }
    plain_stops
    said=$(docker run --rm --env POLLUX_LISTEN_PROT=1 pollux 2>&1) && return 1
    [[ $said == *"POLLUX_LISTEN_PROT"*"POLLUX_LISTEN_PORT"* ]] || { echo "$said" && return 1; }
}

test_container_without_rights_says_what_it_needs() {
    local said
    said=$(docker run --name pollux pollux "${FEW[@]}" 2>&1) && return 1
    [[ $said == *"no link could be made"*"--cap-add NET_ADMIN"* ]] || { echo "$said" && return 1; }
    equal "$(docker inspect --format '{{ .State.ExitCode }}' pollux)" 1
    docker rm --volumes pollux >/dev/null
}

test_container_that_was_killed_is_cleaned_up() {
    serve_here --publish 8080
    docker kill pollux >/dev/null
    # It could not do so itself.
    [[ -e /sys/class/net/pollux-host || -n $(ip -brief link show dev pollux-host) ]]
    nft list table ip pollux >/dev/null
    expect_says "the container could not remove all it made" "${run[@]}" --stop
}

test_foreground_until_terminated() {
    local status=0 script
    "${run[@]}" --publish 8080 -- "${FEW[@]}" >"$scratch/foreground" 2>&1 &
    script=$!
    await "$START_SECONDS" "$script" grep -q 'entrypoint.sh: serving on' "$scratch/foreground" || { cat "$scratch/foreground" && return 1; }
    equal "$(ask "$LOCAL_URL/pipeline")" ok
    expect_fails 1 "there is a container pollux" "${run[@]}"
    kill -TERM "$script"
    wait "$script" || status=$?
    equal "$status" 143
    grep -q "ended with status 0" "$scratch/foreground"
}

test_terminated_while_it_starts() {
    local status=0 script
    "${run[@]}" --publish 8080 -- "${FEW[@]}" >"$scratch/foreground" 2>&1 &
    script=$!
    await "$START_SECONDS" "$script" exists
    kill -TERM "$script"
    wait "$script" || status=$?
    equal "$status" 143
    grep -q "container pollux has ended with status 0" "$scratch/foreground"
}

test_what_cannot_be_had_is_refused_and_leaves_nothing() {
    local listener
    python3 -m http.server 8080 >/dev/null 2>&1 &
    listener=$!
    await 10 "$listener" ask "$LOCAL_URL" >/dev/null
    expect_fails 1 "something listens on port 8080 here already" "${run[@]}" --publish 8080 -- "${FEW[@]}"
    expect_fails 1 "before it served" "${run[@]}" --detach --publish 8080 -- "${FEW[@]}"
    end_process "$listener" 5
    expect_fails 2 "limits.connection" "${run[@]}" -- --set limits.connection=5
    expect_fails 2 "TCP port from 1 to 65535" "${run[@]}" --publish http
    expect_fails 2 "TCP port from 1 to 65535" "${run[@]}" --publish 70000
    expect_fails 2 "TCP port from 1 to 65535" docker run --rm pollux --publish 0
    expect_fails 2 "not understood" "${run[@]}" --fast
    expect_fails 1 "no such directory" "${run[@]}" --data "$scratch/nowhere"
    expect_fails 1 "no such directory" "${run[@]}" --data "$0"
    expect_fails 1 "no such file" "${run[@]}" --config "$scratch"
    expect_fails 1 "is a directory: docker makes one" docker run --rm --volume "$scratch:/etc/pollux/pollux.toml:ro" pollux
    expect_fails 1 "docker build --file deploy/Dockerfile --tag nowhere" "${run[@]}" --image nowhere
}

test_compose_file_is_valid() {
    local file=$here/docker/compose.yaml
    expect_says "pollux" docker-compose --file "$file" config --services
    expect_says "grafana.json" docker-compose --file "$file" config
    skip "compose services are not started: the images of PostgreSQL, Prometheus and Grafana are in a registry only"
}

skip() { printf 'skipped: %s\n' "$*"; }

# --- a container and its clients ---

# serve_here OPTION...: in the host's network namespace, until it answers.
serve_here() {
    "${run[@]}" --detach "$@" -- "${FEW[@]}" >/dev/null
    await_serving
}

serve_in_bridge() {
    "${run[@]}" --detach --bridge --publish 8080 --docker "--network=$NETWORK" "$@" -- "${FEW[@]}" >/dev/null
    await_serving
}

# plain WORD...: docker run in the bridge network, without docker-run.sh.
plain() {
    docker run --detach --name pollux --network "$NETWORK" "$@" >/dev/null
    await_serving
}

await_serving() {
    await "$START_SECONDS" $$ log_is_at_end && log_has "entrypoint.sh: serving on"
}

log_is_at_end() { log_has 'entrypoint.sh: serving on' >/dev/null || [[ $(docker inspect --format '{{ .State.Running }}' pollux) != true ]]; }

log_has() { grep -qF -- "$1" <<<"$(docker logs pollux 2>&1)" || { printf 'the log lacks: %s\n' "$1" && return 1; }; }

exists() { docker container inspect pollux >/dev/null 2>&1; }

is_healthy() { [[ $(docker inspect --format '{{ .State.Health.Status }}' pollux) == healthy ]]; }

ask() { curl --silent --show-error --max-time 5 "$1"; }

answers() { [[ $(ask "$2") == "$1" ]]; }

# from_container COMMAND...: in a container of the bridge network, with this machine's programs.
from_container() { docker run --rm --network "$NETWORK" --volume /usr:/usr:ro debian:bookworm-slim "$@"; }

# wrk_is_served COMMAND... URL: every answer is a 2xx and no connection fails.
wrk_is_served() {
    local said
    said=$("${@:1:$#-1}" --threads 1 --connections 16 --duration 1 "${*: -1}") || { echo "$said" && return 1; }
    [[ $said =~ ([0-9]+)\ requests\ in && ${BASH_REMATCH[1]} -gt 100 ]] || { echo "$said" && return 1; }
    [[ $said != *"Socket errors"* && $said != *"Non-2xx"* ]] || { echo "$said" && return 1; }
}

# stops OPTION...: with status 0, before docker kills it.
stops() {
    local began=$SECONDS
    expect_says "ended with status 0" "${run[@]}" --stop "$@"
    [[ $((SECONDS - began)) -le 10 ]] || { echo "took $((SECONDS - began)) s" && return 1; }
}

stops_in_time_under_load() {
    local load
    wrk --threads 1 --connections 16 --duration 30 "$LOCAL_URL/" >/dev/null &
    load=$!
    await 10 "$load" is_loaded
    stops "$@"
    end_process "$load" 5
    wait "$load" || true
}

is_loaded() { [[ $(docker exec pollux pollux stats --json | grep -o '"connections_open":[0-9]*' | grep -o '[0-9]*$' | head -n 1) -ge 16 ]]; }

plain_stops() {
    docker stop pollux >/dev/null
    equal "$(docker inspect --format '{{ .State.ExitCode }}' pollux)" 0
    docker rm --volumes pollux >/dev/null
}

# write_site TEXT: what / answers.
write_site() {
    mkdir -p "$scratch/www"
    printf '%s' "$1" >"$scratch/www/index.html"
    printf '[[route]]\npath = "/"\nkind = "files"\ndirectory = "."\nindex = "index.html"\n' >"$scratch/site.toml"
}
