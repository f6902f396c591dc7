# shellcheck shell=bash
# Sourced: what the outside does when the inside asks for it. Needs machine.sh.

FETCH_SECONDS_MAX=60

# act ACTION ARGUMENT...
act() {
    case $1 in
        fetch) fetch_all "$2" ;;
        ping) ping_kernel "$2" ;;
        *) return 1 ;;
    esac
}

# fetch_all ADDRESS: every file, compared with what was put into the image.
fetch_all() {
    local size
    for size in "${FILE_SIZES[@]}"; do
        if inside curl --silent --show-error --max-time "$FETCH_SECONDS_MAX" "http://$1:8080/$size.bin" 2>"$scratch/curl" |
            cmp - "$served/$size.bin" 2>>"$scratch/curl"; then
            passes "fetched $size bytes"
        else
            fails "fetched $size bytes: $(tr '\n' ' ' <"$scratch/curl")"
        fi
    done
}

# ping_kernel ADDRESS: the guest's kernel answers.
ping_kernel() {
    if inside ping -c 1 -w 10 -q "$1" >/dev/null; then passes "ping $1"; else fails "ping $1"; fi
}
