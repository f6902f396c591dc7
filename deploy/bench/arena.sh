# shellcheck shell=bash disable=SC2034,SC2154 # bench.sh reads what is set here, and sets what is read
# Sourced by bench.sh: the workload of deploy/arena.toml, against FastPySGI.

# shellcheck source=deploy/bench/database.sh
. "$here/bench/database.sh"

PEER=FastPySGI
QUICK_SECONDS=2
# Name in load.lua, connections, label.
LOADS=(
    "json 64 JSON, 7 sizes in turn, 64 connections"
    "json 512 JSON, 7 sizes in turn, 512 connections"
    "static 512 20 files in turn, 512 connections"
    "compression 64 1 MB of JSON, compressed once, 64 connections"
    "compression-per-request 16 1 MB of JSON, compressed per request, 16 connections"
    "db 64 SQLite, 64 connections"
    "async-db 64 PostgreSQL, 5 limits in turn, 64 connections"
    "async-db 512 PostgreSQL, 5 limits in turn, 512 connections"
    "mixed 512 mixed, 512 connections"
)

# start_both OPTION...
start_both() {
    provide_python
    start_database
    BENCH_FILES=$(find "$scratch/data/static" -type f ! -name '*.br' ! -name '*.gz' -printf '%f\n' | sort | tr '\n' ' ')
    export BENCH_FILES
    write_arena_config >"$scratch/arena.toml"
    start_pollux --config "$scratch/arena.toml" --data "$scratch/data" --set "admin.name=bench-$$" "$@"
    start_peer "$python" "$here/peers/fastpysgi_arena.py" --data "$scratch/data" --host "$ADDRESS" --port 8080
}

# Sets `python` to one that has what the peer needs.
provide_python() {
    python=${BENCH_PYTHON:-$scratch/python/bin/python}
    if [[ -z ${BENCH_PYTHON:-} ]]; then
        say "Python: installing $(tr '\n' ' ' <"$here/peers/requirements.txt")"
        python3 -m venv "$scratch/python"
        "$python" -m pip --quiet --disable-pip-version-check install --requirement "$here/peers/requirements.txt" ||
            die "the peer cannot be installed from PyPI: see above"
    fi
    "$python" -c 'import fastpysgi, orjson, psycopg, psycopg_pool' ||
        die "BENCH_PYTHON=$python lacks something of $here/peers/requirements.txt"
}

compare_answers() {
    fetch_answers "$pollux_side" >"$scratch/ours"
    fetch_answers "$peer_side" >"$scratch/theirs"
    compare
}

# fetch_answers NAMESPACE
fetch_answers() {
    # shellcheck disable=SC2086 # names of files
    ip netns exec "$1" "$python" "$here/bench/responses.py" fetch arena "$URL" $BENCH_FILES
}

print_notes() {
    local path ours theirs
    for path in /compression /compression-per-request; do
        ours=$(wire_bytes "$path" "$scratch/ours")
        theirs=$(wire_bytes "$path" "$scratch/theirs")
        printf 'On the wire %s is %d bytes from Pollux and %d from %s.\n' "$path" "$ours" "$theirs" "$PEER"
    done
}

# wire_bytes PATH FILE
wire_bytes() { awk -F '\t' -v name="GET $1 Accept-Encoding: gzip" '$1 == name { print $5 }' "$2"; }
