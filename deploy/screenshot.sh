#!/usr/bin/env bash
# deploy/screenshot.sh: takes the picture of `pollux top` that README.md shows, as root.
#
#   screenshot.sh [FILE]   write it into FILE (default: deploy/top.svg)
#
# Serves deploy/arena.toml in a network namespace of its own, with loads of wrk on several routes, runs
# `pollux top` in tmux and draws what its screen shows. Everything is taken back at the end. The binary is
# POLLUX_BIN, or the release build, which is then made. POLLUX_HUGEPAGES is the number of 2 MiB pages
# (default 512).

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/say.sh
. "$here/say.sh"
# shellcheck source=deploy/process.sh
. "$here/process.sh"
# shellcheck source=deploy/prerequisites.sh
. "$here/prerequisites.sh"

HUGEPAGES=${POLLUX_HUGEPAGES:-512}
NAME=shop
OWNER=screenshot
NETNS=screenshot-$$
URL=http://198.18.0.2:8080
COLUMNS_SHOWN=100
ROWS_SHOWN=34
START_SECONDS=60
# Becomes the command after it, so that a process id is that command's.
inside=("$here/link.sh" exec --netns "$NETNS" --)
# As long as the history of the picture.
LOAD_SECONDS=30

main() {
    local file=$here/top.svg
    case ${1-} in
        -h | --help) show_help && exit ;;
        -*) misuse "'$1' is not understood" ;;
        ?*) file=$1 ;;
    esac
    need_root
    provide_packages curl python3 tmux wrk
    provide_pollux release
    scratch=$(mktemp -d)
    server='' loads=()
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    trap clean_up EXIT
    serve
    terminal new-session -d -x "$COLUMNS_SHOWN" -y "$ROWS_SHOWN" "'$binary' top --name $NAME --interval 500ms"
    apply_load
    terminal capture-pane -e -p -N >"$scratch/screen"
    "$here/ansi-to-svg.py" --title "pollux top" --columns "$COLUMNS_SHOWN" <"$scratch/screen" >"$scratch/svg"
    cp "$scratch/svg" "$file"
    say "wrote $file"
}

serve() {
    "$root/hugepages.sh" reserve "$HUGEPAGES" --owner "$OWNER"
    "$here/link.sh" up --netns "$NETNS"
    "$binary" sample "$scratch/data"
    "${inside[@]}" "$binary" serve --config "$here/arena.toml" --data "$scratch/data" --link af_xdp:pollux0 --cores last \
        --set "admin.name=$NAME" >"$scratch/log" 2>&1 &
    server=$!
    await "$START_SECONDS" "$server" "${inside[@]}" curl --noproxy '*' --silent --output /dev/null --max-time 1 "$URL/pipeline" ||
        die "pollux does not answer: $(tail -n 5 "$scratch/log")"
}

# One after the other, for a history that shows something.
apply_load() {
    load 8 /pipeline
    sleep $((LOAD_SECONDS / 3))
    load 8 "/json/10?m=2"
    load 2 "/db?min=10&max=50"
    sleep $((LOAD_SECONDS / 3))
    load 2 /static/app.js
    load 1 /nowhere
    sleep $((LOAD_SECONDS / 3))
}

# load CONNECTIONS PATH
load() {
    "${inside[@]}" wrk -t1 "-c$1" "-d${LOAD_SECONDS}s" "$URL$2" >/dev/null &
    loads+=($!)
}

terminal() { timeout 10 tmux -S "$scratch/tmux" -f /dev/null "$@"; }

clean_up() {
    local pid
    terminal kill-server 2>/dev/null || true
    for pid in "${loads[@]+"${loads[@]}"}" $server; do end_process "$pid" 15; done
    "$here/link.sh" down --netns "$NETNS" >/dev/null || true
    "$root/hugepages.sh" release --owner "$OWNER" || true
    rm -rf "$scratch"
}

main "$@"
