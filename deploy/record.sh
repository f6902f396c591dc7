# shellcheck shell=bash
# Sourced: what the scripts remember of their own changes to this machine, so that they undo these and
# nothing else. Records live under /run/pollux and count for this boot only. Needs say.sh.

RECORDS=/run/pollux
LOCK_SECONDS=120

# lock NAME: waits for its turn and holds the lock until the script ends, so that two scripts never
# change the same thing at once.
lock() {
    try_lock "$1" "$LOCK_SECONDS" ||
        die "another script has held $RECORDS/$1.lock for $LOCK_SECONDS s: see 'fuser -v $RECORDS/$1.lock'"
}

# try_lock NAME SECONDS: status 1 where the lock is not to be had in that time.
try_lock() {
    mkdir -p "$RECORDS"
    exec {LOCK_FD}>"$RECORDS/$1.lock"
    flock --wait "$2" "$LOCK_FD"
}

# write_record NAME: the lines on standard input become the record, whole or not at all.
write_record() {
    local path=$RECORDS/$1
    mkdir -p "${path%/*}"
    { printf 'boot %s\n' "$(boot_id)" && cat; } >"$path.new"
    mv "$path.new" "$path"
}

# read_record NAME: its lines; nothing, and status 1, where there is none from this boot.
read_record() {
    local path=$RECORDS/$1 boot
    [[ -f $path ]] || return 1
    IFS= read -r boot <"$path"
    [[ $boot == "boot $(boot_id)" ]] || return 1
    tail -n +2 "$path"
}

# record_value NAME KEY: what stands after KEY in the record; nothing where it does not say.
record_value() {
    local key value
    while read -r key value; do
        [[ $key != "$2" ]] || printf '%s\n' "$value"
    done < <(read_record "$1" || true)
}

drop_record() { rm -f "$RECORDS/$1"; }

boot_id() { cat /proc/sys/kernel/random/boot_id; }
