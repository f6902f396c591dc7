# shellcheck shell=bash disable=SC2034,SC2154 # bench.sh reads what is set here, and sets what is read
# Sourced by the profiles with a database: the sample's data, a PostgreSQL server with its rows, and the
# configuration that both are served by. Needs say.sh, process.sh and what bench.sh prepares.

POSTGRES_PORT=5432
# It does not run as root.
AS_POSTGRES=(setpriv --reuid postgres --regid postgres --init-groups)

# The sample below $scratch/data, and PostgreSQL, whose place goes into DATABASE_URL.
start_database() {
    "$binary" sample "$scratch/data" >/dev/null
    local programs
    programs=$(find /usr/lib/postgresql -maxdepth 2 -name bin | sort --version-sort | tail -n 1)
    [[ -n $programs ]] || die "no PostgreSQL below /usr/lib/postgresql: apt-get install postgresql"
    PATH=$PATH:$programs
    sockets=$scratch/postgres
    mkdir "$sockets"
    chown postgres: "$sockets"
    (cd / && "${AS_POSTGRES[@]}" initdb --pgdata "$sockets/data" --username postgres --auth trust --encoding UTF8 \
        --locale C --no-sync >"$scratch/initdb.log" 2>&1) || die "initdb failed: $(tail -n 5 "$scratch/initdb.log")"
    write_postgres_config >"$sockets/data/postgresql.conf"
    "${AS_POSTGRES[@]}" "$programs/postgres" -D "$sockets/data" >"$scratch/postgres.log" 2>&1 </dev/null &
    database_pid=$!
    await "$START_SECONDS" "$database_pid" pg_isready --quiet --host "$sockets" --port "$POSTGRES_PORT" ||
        die "PostgreSQL does not answer: $(tail -n 5 "$scratch/postgres.log")"
    ask_postgres --file "$scratch/data/seed.sql" >/dev/null
    ask_postgres --command 'VACUUM ANALYZE items' >/dev/null
    export DATABASE_URL="host=$sockets port=$POSTGRES_PORT user=postgres dbname=postgres"
}

# Pollux has the hugepages. Scans begin at the first row, so that LIMIT without ORDER BY says the same
# rows every time.
write_postgres_config() {
    cat <<POSTGRES
listen_addresses = ''
unix_socket_directories = '$sockets'
port = $POSTGRES_PORT
max_connections = 300
shared_buffers = 256MB
huge_pages = off
fsync = off
synchronize_seqscans = off
autovacuum = off
POSTGRES
}

# ask_postgres OPTION...: psql, plain.
ask_postgres() {
    psql --host "$sockets" --port "$POSTGRES_PORT" --username postgres --no-psqlrc --quiet --tuples-only --no-align \
        --set ON_ERROR_STOP=1 "$@"
}

# The configuration of the workload, with a second route for what is compressed for every request.
write_arena_config() {
    cat "$here/arena.toml"
    cat <<'TOML'

[[route]]
path = "/compression-per-request"
kind = "dataset"
file = "dataset-large.json"
computed = { total = "price * quantity" }
compress = "per-request"
TOML
}

# Refuses to go on where $scratch/ours and $scratch/theirs differ; their last column may.
compare() {
    local side
    for side in ours theirs; do cut -f 1-4 "$scratch/$side" >"$scratch/$side.cut"; done
    diff "$scratch/ours.cut" "$scratch/theirs.cut" >&2 ||
        die "the answers of Pollux (<) and $PEER (>) differ: nothing is measured"
    say "Pollux and $PEER give the same $(wc -l <"$scratch/ours") answers"
}
