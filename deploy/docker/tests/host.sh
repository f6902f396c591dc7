# shellcheck shell=bash
# Sourced by docker-tests.sh: the namespaces that are the host of the tests, their dockerd, and how both go.
# Needs `work` and `base`.
# shellcheck disable=SC2154 # that script and the other files it sources set them

CGROUPS=pollux-docker-tests
NETWORK=pollux-tests

# Sets `scratch`. One run at a time; what an earlier one left is removed.
begin() {
    local left
    # A run inside a run, which is to be killed, has the outer one's locks and images.
    if [[ -z ${IMAGES-} ]]; then
        lock docker-tests
        lock tests
        for left in "$work"/run.*; do [[ ! -e $left ]] || sweep "$left" </dev/null; done
    fi
    scratch=$(mktemp -d "$work/run.XXXXXX")
    export scratch
    mkdir "$scratch/records"
    [[ -z ${IMAGES-} ]] || cp -a "$IMAGES" "$scratch/data"
    # Its standard input ends with the last process that has the other end open: this script and all it started.
    exec {WATCH_FD}> >(exec setsid "$0" --sweep "$scratch")
    sweeper=$!
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    trap end EXIT
}

# All that runs ends, and what it left is gone when this returns.
end() {
    trap '' INT TERM HUP EXIT
    [[ -z ${host-} ]] || kill -KILL "$host" 2>/dev/null || true
    exec {WATCH_FD}>&-
    wait "$sweeper" || true
}

# start_host WORD: runs `inside WORD` in namespaces of its own, and has its status.
start_host() {
    local status=0
    setpriv --pdeathsig KILL unshare --mount --net --pid --fork --kill-child --mount-proc --propagation private \
        "$0" --inside "$1" </dev/null &
    host=$!
    wait "$host" || status=$?
    host=''
    return "$status"
}

# sweep SCRATCH: waits for the end of all that was started, then removes what no namespace took along.
sweep() {
    local directory
    trap '' INT TERM HUP
    cat >/dev/null
    # A process that has closed its files may be in its cgroup for a moment longer, and hold its hugepages.
    await 10 $$ remove_cgroups "${1##*.}" || warn "cgroups stay: /sys/fs/cgroup/*/$CGROUPS/${1##*.}"
    for directory in "$1"/records "$1"/records/bridge-*; do
        [[ ! -e $directory/hugepages/container ]] || give_back "$directory"
    done
    find /sys/fs/cgroup -depth -type d -name "$CGROUPS" -exec rmdir --ignore-fail-on-non-empty {} + 2>/dev/null || true
    rm -rf --one-file-system "$1"
}

remove_cgroups() {
    find /sys/fs/cgroup -depth -type d -path "*/$CGROUPS/$1*" -exec rmdir {} \; 2>/dev/null || true
    [[ -z $(find /sys/fs/cgroup -type d -path "*/$CGROUPS/$1" -print -quit) ]]
}

# pages RECORDS: the machine's hugepages but those that others have written down there.
pages() {
    local others
    others=$(find "$1" -type f -exec cat {} + | awk '/^[0-9]/ { sum += $2 } END { print sum + 0 }')
    printf 'hugepages %s\n' "$(($(</proc/sys/vm/nr_hugepages) - others))"
}

# give_back RECORDS: the hugepages written down there.
give_back() {
    mkdir -p "$RECORDS"
    # shellcheck disable=SC2016 # the inner shell expands them
    unshare --mount bash -c 'mount --bind "$1" "$2" && "$3" release --owner container' - "$1" "$RECORDS" "$root/hugepages.sh"
}

# The first process of the namespaces.
inside() {
    prepare
    if [[ $1 == --hold ]]; then hold; else run_tests "$1"; fi
}

# An empty /run with nobody else's namespaces, interfaces to two network namespaces, and dockerd.
prepare() {
    mkdir -p /run/pollux/hugepages "$scratch/others"
    mount --bind /run/pollux/hugepages "$scratch/others"
    empty /run
    mkdir /run/pollux
    mount --bind "$scratch/records" /run/pollux
    ip link set lo up
    attach world up0 192.0.2
    attach behind down0 10.9.0
    export DOCKER_HOST=unix:///run/docker.sock
    dockerd --iptables=false --bridge=none --data-root "$scratch/data" --exec-root /run/docker --pidfile /run/docker.pid \
        --host "$DOCKER_HOST" --cgroup-parent "/$CGROUPS/${scratch##*.}" >"$scratch/dockerd" 2>&1 &
    await 60 $! docker_answers || { tail -n 20 "$scratch/dockerd" && die "dockerd does not answer"; }
    choose_rights
    docker image inspect pollux >/dev/null 2>&1 || build
    docker network inspect "$NETWORK" >/dev/null 2>&1 || docker network create "$NETWORK" >/dev/null
    # dockerd has made a router of this host for it; the tests want to see that Pollux needs none.
    echo 0 >/proc/sys/net/ipv4/conf/up0/forwarding
}

# attach NAMESPACE DEVICE NETWORK: makes it, joined to this host (.1) by DEVICE at both ends, and routed over it.
attach() {
    ip netns add "$1"
    ip link add "$2" type veth peer name "$2" netns "$1"
    ip address add "$3.1/24" dev "$2"
    ip link set "$2" up
    ip netns exec "$1" ip address add "$3.2/24" dev "$2"
    ip netns exec "$1" ip link set "$2" up
    ip netns exec "$1" ip route add default via "$3.1"
}

docker_answers() { docker version >/dev/null 2>&1; }

in_world() { ip netns exec world "$@"; }

# Sets `run`, docker-run.sh with the rights that this machine can give.
choose_rights() {
    run=("$here/docker-run.sh")
    if [[ $(($(capabilities Bnd) & 1 << 24)) -eq 0 ]]; then
        say "this machine has no CAP_SYS_RESOURCE, so that its kernel refuses --privileged: the containers get all but that one"
        run+=(--drop SYS_RESOURCE)
    fi
}

# capabilities SET: the mask of this process.
capabilities() { printf '0x%s\n' "$(sed -n "s/^Cap$1:\t//p" /proc/self/status)"; }

# The image, from a copy of what is in the tree and the binary.
build() {
    local context=$scratch/context began=$SECONDS
    mkdir -p "$context/target/release"
    (cd "$root" && cp -r --parents .dockerignore .cargo Cargo.toml Cargo.lock control dataplane handlers deploy hugepages.sh "$context")
    strip -o "$context/target/release/pollux" "$POLLUX_BIN"
    docker import "$base" debian:bookworm-slim >/dev/null
    docker build --network none --file "$context/deploy/Dockerfile" --tag pollux --build-arg POLLUX_BIN=target/release/pollux \
        "$context" >"$scratch/build" 2>&1 || { tail -n 30 "$scratch/build" && die "docker build failed"; }
    rm -rf "$context"
    say "built the image in $((SECONDS - began)) s"
}
