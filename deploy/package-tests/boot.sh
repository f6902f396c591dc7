# shellcheck shell=bash
# Sourced: a boot of the test's root with systemd, by systemd-nspawn, in the network namespace of the run. Needs process.sh.
# shellcheck disable=SC2154 # set by package-tests.sh, which sources this file

BOOT_SECONDS=40
CGROUP=pollux-package-tests-$$

# with_boot: boots `tree` and sets `machine`, the process that is systemd in there. Skips the test where nspawn
# cannot be had: without a hierarchy of control groups that this process may write.
with_boot() {
    local nspawn reason
    take_cgroups || skip "no hierarchy of control groups is to be written here, and systemd does not boot without"
    trap 'end_boot' EXIT
    # With an id it is no first boot, at which systemd would enable all that it has, networkd among it.
    tr -d - </proc/sys/kernel/random/uuid >"$tree/etc/machine-id"
    # Not registered with a machined, in the cgroups of this process, ended with it.
    setpriv --pdeathsig TERM systemd-nspawn --quiet --directory="$tree" --machine=pollux-package-test --boot --keep-unit \
        --register=no --link-journal=no --resolv-conf=off --capability=CAP_NET_ADMIN,CAP_NET_RAW \
        systemd.show_status=no >"$scratch/test/console" 2>&1 </dev/null &
    nspawn=$!
    booted=$nspawn
    if ! await "$BOOT_SECONDS" "$nspawn" is_booted "$nspawn"; then
        reason=$(tail -n 3 "$scratch/test/console" | tr '\n' ' ')
        [[ -z $(start_time "$nspawn") ]] || fail "systemd has not booted in $BOOT_SECONDS s: $reason"
        [[ $reason != *'not permitted'* ]] || skip "systemd-nspawn is not permitted here: $reason"
        fail "systemd-nspawn ended: $reason"
    fi
}

# is_booted PID: whether the machine that process PID has started has reached what it boots into.
is_booted() {
    machine=$(ps --no-headers -o pid --ppid "$1" | tr -d ' ' | head -n 1)
    [[ -n $machine ]] && inside systemctl is-active --quiet multi-user.target 2>/dev/null
}

# inside COMMAND...: runs it in the machine, as root.
inside() {
    nsenter --target "$machine" --mount --uts --ipc --pid --root --wdns=/ env --ignore-environment \
        PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}

# value UNIT PROPERTY
value() { inside systemctl show --value --property "$2" "$1"; }

# take_cgroups: this process into a group of its own in each hierarchy that systemd could want.
take_cgroups() {
    local path taken=''
    for path in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
        [[ -w $path/cgroup.procs ]] || continue
        mkdir "$path/$CGROUP" 2>/dev/null || continue
        echo $$ >"$path/$CGROUP/cgroup.procs" || return 1
        taken=yes
    done
    [[ -n $taken ]]
}

end_boot() {
    [[ -z ${booted-} ]] || end_process "$booted" 10
    [[ -z ${linked-} ]] || "$here/link.sh" down >/dev/null
    remove_cgroups
}

# remove_cgroups: this process goes back, and the groups are removed, with what systemd has made below them.
remove_cgroups() {
    local path
    for path in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
        [[ -d $path/$CGROUP ]] || continue
        echo $$ >"$path/cgroup.procs"
        # What nspawn has killed may take a moment to leave.
        await 10 $$ rmdir_below "$path/$CGROUP" || warn "$path/$CGROUP stays"
    done
}

rmdir_below() {
    find "$1" -depth -type d -exec rmdir {} + 2>/dev/null
    [[ ! -d $1 ]]
}

# with_link: the kernel's end of a link, and pollux0 for the server; goes with the boot.
with_link() {
    linked=yes
    "$here/link.sh" up >/dev/null
}

answer() { curl --silent --show-error --fail --max-time 3 "http://198.18.0.2:8080/$1"; }
