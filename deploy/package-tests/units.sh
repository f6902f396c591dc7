# shellcheck shell=bash
# Sourced: tests of the units, as files and in a boot. Needs root.sh, boot.sh and what the tests say.
# shellcheck disable=SC2154 # set by package-tests.sh, which sources this file

UNITS=$root/deploy/systemd

test_units_are_verified() {
    local said
    with_root
    said=$(in_root "$tree" systemd-analyze verify --man=no --recursive-errors=one /lib/systemd/system/pollux@.service \
        /lib/systemd/system/pollux-hugepages.service /lib/systemd/system/pollux-nic@.service \
        /lib/systemd/system/pollux-announce@.service 2>&1) || fail "$said"
    equal "$said" ""
}

# Each unit says its score in its comment; one that is worse, or a comment that is no longer true, fails.
test_units_expose_no_more_than_they_say() {
    local name stated found
    mkdir -p "$scratch/test/units"
    for name in pollux@ pollux-hugepages pollux-nic@ pollux-announce@; do
        stated=$(sed -n 's/^# systemd-analyze security: \([0-9.]*\)\. .*/\1/p' "$UNITS/$name.service")
        found=$(exposure "$UNITS/$name.service")
        equal "$name $stated" "$name $found"
        systemd-analyze security --offline=true --no-pager --threshold="${stated/./}" "$UNITS/$name.service" >/dev/null ||
            fail "$name: systemd-analyze finds $found, more than $stated"
    done
    # With the drop-in for AF_XDP.
    cp "$UNITS/pollux@.service" "$scratch/test/units/"
    grep '^[A-Z][A-Za-z]*=' "$UNITS/af-xdp.conf" >"$scratch/test/lines"
    sed -i "/^\[Service\]/r $scratch/test/lines" "$scratch/test/units/pollux@.service"
    stated=$(sed -n 's/^# systemd-analyze security with it: \([0-9.]*\)\.$/\1/p' "$UNITS/af-xdp.conf")
    equal "$stated" "$(exposure "$scratch/test/units/pollux@.service")"
}

exposure() {
    systemd-analyze security --offline=true --no-pager "$1" | sed -n 's/.*Overall exposure level for .*: \([0-9.]*\) .*/\1/p'
}

# The unit's commands are those that the binary has.
test_units_call_what_there_is() {
    local line
    with_root
    while read -r line; do
        # shellcheck disable=SC2086 # words of a command
        expect_says 'Usage' in_root "$tree" $line --help
    done < <(sed -n 's/^Exec[A-Za-z]*=\(\/usr\/bin\/pollux [a-z]*\( bind\| unbind\)\?\) .*/\1/p' "$UNITS"/*.service | sort -u)
}

# For the tests: fewer seconds, and no hugepages, which are the machine's.
configure() {
    sed -i 's/^pages = "huge"/pages = "ordinary"/' "$tree/etc/pollux/pollux.toml"
    mkdir -p "$tree/etc/systemd/system/pollux@.service.d"
    printf '[Service]\nWatchdogSec=2s\nTimeoutAbortSec=1s\nRestartSec=100ms\n' >"$tree/etc/systemd/system/pollux@.service.d/test.conf"
}

test_boot_the_life_of_a_server() {
    local before
    with_root
    configure
    with_link
    with_boot
    equal "$(value pollux@pollux ActiveState)" inactive
    inside systemctl start pollux@pollux || fail "$(journal)"
    # Active is ready: no second try.
    equal "$(answer pipeline)" ok
    runs_as_its_user
    # By the link in root's directory.
    expect_says 'requests' inside pollux stats
    equal "$(stat -c '%U %a' "$tree/run/pollux" 2>/dev/null || inside stat -c '%U %a' /run/pollux)" "root 755"

    before=$(value pollux@pollux MainPID)
    printf '\n[[route]]\npath = "/new"\nkind = "fixed"\ntype = "text/plain"\nbody = "new"\n' >>"$tree/etc/pollux/pollux.toml"
    inside systemctl reload pollux@pollux || fail "$(journal)"
    equal "$(answer new)" new
    echo 'nonsense' >>"$tree/etc/pollux/pollux.toml"
    expect_fails 1 'failed' inside systemctl reload pollux@pollux
    equal "$(answer new)" new
    equal "$(value pollux@pollux ActiveState) $(value pollux@pollux MainPID)" "active $before"
    sed -i '$d' "$tree/etc/pollux/pollux.toml"

    inside systemctl stop pollux@pollux
    equal "$(value pollux@pollux ActiveState) $(value pollux@pollux Result)" "inactive success"
    expect_fails 2 '' inside ls /run/pollux/pollux.sock
    # Nobody is at the link's other end.
    expect_fails 28 '' answer new
}

runs_as_its_user() {
    local pid status
    pid=$(value pollux@pollux MainPID)
    status=$(inside cat "/proc/$pid/status")
    equal "$(inside ps -o user= -p "$pid")" pollux
    # NET_ADMIN and NET_RAW.
    equal "$(awk '/^Cap(Prm|Eff|Bnd|Amb):/ { print $2 }' <<<"$status" | sort -u)" 0000000000003000
    equal "$(awk '/^(NoNewPrivs|Seccomp):/ { print $2 }' <<<"$status" | paste -sd ' ')" "1 2"
}

# A process that is stopped feeds no watchdog.
test_boot_the_watchdog_restarts_what_is_stuck() {
    local before
    with_root
    configure
    with_link
    with_boot
    inside systemctl start pollux@pollux || fail "$(journal)"
    before=$(value pollux@pollux MainPID)
    inside kill -STOP "$before"
    await_that 30 has_other_pid "$before"
    await_that 30 is_active
    equal "$(answer pipeline)" ok
    equal "$(value pollux@pollux NRestarts)" 1
    expect_says 'Watchdog timeout' inside journalctl --no-pager -u pollux@pollux
}

has_other_pid() { [[ $(value pollux@pollux MainPID) != "$1" && $(value pollux@pollux MainPID) != 0 ]]; }
is_active() { [[ $(value pollux@pollux ActiveState) == active ]]; }

# An error in the configuration is logged once; trying again mends nothing.
test_boot_a_wrong_configuration_is_not_tried_again() {
    with_root
    with_boot
    echo 'nonsense = 1' >"$tree/etc/pollux/wrong.toml"
    expect_fails 1 'failed' inside systemctl start pollux@wrong
    equal "$(value pollux@wrong ActiveState) $(value pollux@wrong ExecMainStatus) $(value pollux@wrong NRestarts)" "failed 2 0"
    expect_says 'nonsense' inside journalctl --no-pager -u pollux@wrong
}

# The name of an instance is that of the server, of its file and of its directory.
test_boot_names_of_instances() {
    local name
    with_root
    configure
    cp "$tree/etc/pollux/pollux.toml" "$tree/etc/pollux/my-site.v_2.toml"
    with_link
    with_boot
    inside systemctl start pollux@my-site.v_2 || fail "$(journal)"
    equal "$(answer pipeline)" ok
    expect_says 'requests' inside pollux stats --name my-site.v_2
    inside systemctl reload pollux@my-site.v_2 || fail "$(journal)"
    inside systemctl stop pollux@my-site.v_2
    # Names that none of them may have, a file that is not there, and a name whose socket would have too long a path.
    for name in 'weird\x2dname' a@b none "$(printf 'n%.0s' {1..60})"; do
        [[ $name == none ]] || cp "$tree/etc/pollux/pollux.toml" "$tree/etc/pollux/$name.toml"
        expect_fails 1 'failed' inside systemctl start "pollux@$name"
        equal "$(value "pollux@$name" ExecMainStatus) $(value "pollux@$name" NRestarts)" '2 0'
        inside journalctl --no-pager -u "pollux@$name" | grep -q 'pollux: ' || fail "$(journal)"
    done
    equal "$(inside find /run/pollux -mindepth 1 ! -name '*.lock')" ''
}

# In a machine that runs: an upgrade restarts the server, removing the package ends it.
test_boot_upgrade_and_purge_of_a_server_that_runs() {
    local before
    with_root
    make_upgrade
    configure
    with_link
    with_boot
    cp "$upgrade" "$tree/var/tmp/"
    inside systemctl enable --now --quiet pollux@pollux || fail "$(journal)"
    before=$(value pollux@pollux MainPID)
    expect_says '' inside dpkg --install --force-confold /var/tmp/upgrade.deb
    has_other_pid "$before" || fail "the upgrade has not restarted the server" "$(journal)"
    equal "$(answer pipeline)" ok
    # Once more, and the server does not come back, since its configuration is wrong: the package is installed.
    sed -i '1i nonsense = 1' "$tree/etc/pollux/pollux.toml"
    expect_says 'a server has not come back' inside dpkg --install --force-confold /var/tmp/upgrade.deb
    # shellcheck disable=SC2016 # dpkg-query's own format
    equal "$(inside dpkg-query --show --showformat '${db:Status-Status}' pollux)" installed
    sed -i 1d "$tree/etc/pollux/pollux.toml"
    inside systemctl start pollux@pollux
    equal "$(answer pipeline)" ok
    inside dpkg --purge pollux
    # Nobody is at the link's other end.
    expect_fails 28 '' answer pipeline
    # The drop-in is the operator's, here this test's.
    equal "$(inside find /etc /run /usr /lib /var/lib -xdev -name '*pollux*' ! -path '*/dpkg/*' | paste -sd ' ')" \
        /etc/systemd/system/pollux@.service.d
}

# The address is there while the server is ready: it goes before the server ends, and when it fails.
test_boot_the_announcement_follows_the_server() {
    local before
    with_root
    configure
    sed -i 's/^withdraw = .*/withdraw = "4s"/' "$tree/etc/pollux/pollux.toml"
    echo SERVICE=192.0.2.10/32 >"$tree/etc/pollux/pollux.announce"
    with_link
    with_boot
    inside systemctl enable --quiet pollux-announce@pollux || fail "$(journal)"
    inside systemctl start pollux@pollux || fail "$(journal)"
    await_that 10 is_announced
    equal "$(inside ps -o user= -p "$(value pollux-announce@pollux MainPID)")" pollux
    before=$(value pollux@pollux MainPID)
    inside kill -KILL "$before"
    await_that 20 says_of pollux-announce@pollux 'withdrew 192.0.2.10/32'
    await_that 20 has_other_pid "$before"
    await_that 20 is_announced
    before=$(value pollux-announce@pollux MainPID)
    # Killed, it cannot withdraw: its unit does, and starts it again.
    inside kill -KILL "$before"
    await_that 10 has_other_announcer "$before"
    await_that 10 is_announced
    inside systemctl stop pollux@pollux
    # Its turn to stop comes after the server.
    await_that 10 announces_no_more
    equal "$(value pollux-announce@pollux Result)" success
    ! is_announced || fail "$(ip address show dev lo)"
    # It was withdrawn since the server said so, not since it had ended.
    expect_says 'readyz says 503' inside journalctl --no-pager -u pollux-announce@pollux
    # An error is logged once.
    echo SERVICE=192.0.2.10 >"$tree/etc/pollux/wrong.announce"
    expect_fails 1 '' inside systemctl start pollux-announce@wrong --wait
    equal "$(value pollux-announce@wrong ActiveState) $(value pollux-announce@wrong NRestarts)" 'failed 0'
}

announces_no_more() { [[ $(value pollux-announce@pollux ActiveState) == inactive ]]; }
is_announced() { [[ -n $(ip -brief address show dev lo to 192.0.2.10/32) ]]; }
says_of() { [[ $(inside journalctl --no-pager -u "$1") == *"$2"* ]]; }
has_other_announcer() { [[ $(value pollux-announce@pollux MainPID) != "$1" && $(value pollux-announce@pollux MainPID) != 0 ]]; }

# Refused: there is no such NIC. The server that wants it does not start, and what was asked for is undone.
test_boot_a_server_waits_for_its_nic() {
    with_root
    configure
    with_link
    printf '[Unit]\nBindsTo=pollux-nic@0000:7f:00.0.service\nAfter=pollux-nic@0000:7f:00.0.service\n' >"$tree/etc/systemd/system/pollux@.service.d/nic.conf"
    with_boot
    expect_fails 1 'dependency' inside systemctl start pollux@pollux
    equal "$(value pollux@pollux ActiveState) $(value pollux-nic@0000:7f:00.0 Result)" "inactive exit-code"
    expect_says '0000:7f:00.0' inside journalctl --no-pager -u pollux-nic@0000:7f:00.0
}

journal() { inside journalctl --no-pager --lines 30; }
