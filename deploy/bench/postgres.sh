# shellcheck shell=bash disable=SC2034,SC2154 # bench.sh reads what is set here, and sets what is read
# Sourced by bench.sh: rows of PostgreSQL over HTTP, against pgbench with the same prepared query.

# shellcheck source=deploy/bench/database.sh
. "$here/bench/database.sh"

PEER=pgbench
QUICK_SECONDS=2
LIMIT=50
# Name in load.lua, connections (clients of pgbench), label.
LOADS=(
    "async-db-$LIMIT 16 $LIMIT rows, 16 clients"
    "async-db-$LIMIT 64 $LIMIT rows, 64 clients"
)
COLUMNS='id, name, category, price, quantity, active, tags, rating_score, rating_count'

# start_both OPTION...
start_both() {
    start_database
    write_pgbench_script >"$scratch/query.sql"
    start_pollux --config "$here/arena.toml" --data "$scratch/data" --set "admin.name=bench-$$" "$@"
}

# With variables, not constants: they become the statement's parameters.
write_pgbench_script() {
    printf '\\set least 10\n\\set most 50\n\\set rows %d\n' "$LIMIT"
    printf 'SELECT %s FROM items WHERE price BETWEEN :least AND :most LIMIT :rows;\n' "$COLUMNS"
}

compare_answers() {
    local limit
    ip netns exec "$pollux_side" python3 "$here/bench/responses.py" fetch postgres "$URL" >"$scratch/ours"
    while IFS=$'\t' read -r name _; do
        limit=${name##*=}
        ask_postgres --command "SELECT json_build_object('items', coalesce(json_agg(json_build_object('id', id,
            'name', name, 'category', category, 'price', price, 'quantity', quantity, 'active', active, 'tags', tags,
            'rating', json_build_object('score', rating_score, 'count', rating_count))), '[]'), 'count', count(*))
            FROM (SELECT $COLUMNS FROM items WHERE price BETWEEN 10 AND 50 LIMIT $limit) AS chosen" </dev/null |
            python3 "$here/bench/responses.py" rows "$name"
    done <"$scratch/ours" >"$scratch/theirs"
    compare
}

# measure_peer SECONDS NAME CLIENTS
measure_peer() {
    local said
    said=$(taskset --cpu-list "$CLIENT_CORE" timeout $(($1 + 30)) pgbench --host "$sockets" --port "$POSTGRES_PORT" \
        --username postgres --no-vacuum --protocol prepared --file "$scratch/query.sql" --client "$3" --jobs 1 \
        --time "$1" postgres 2>&1) || { printf '%s\n' "$said" && return 1; }
    awk '/^tps = / { rate = $3 }
        /^latency average = / { late = $4 * 1000 }
        /^number of failed transactions: / { failed = $5 }
        END { printf "measured %.0f %.0f 0 %d\n", rate, late, failed }' <<<"$said"
}

print_notes() {
    printf 'The latency of pgbench is its mean. Pollux asks over %s connections at most. Client, server and ' \
        "${DATABASE_MAX_CONN:-16}"
    printf 'PostgreSQL share %d cores.\n' "$(nproc)"
}
