# shellcheck shell=bash
# Sourced: tests of the package. Needs root.sh and what the tests say.
# shellcheck disable=SC2154 # set by package-tests.sh, which sources this file

PMDS=usr/lib/x86_64-linux-gnu/dpdk/pmds-23.0

test_package_without_complaints_of_lintian() {
    local said
    said=$(lintian --allow-root --tag-display-limit 0 --fail-on error,warning "$package" 2>&1) || fail "$said"
    equal "$said" ""
}

# What the binary links, and what DPDK opens at run time, is in packages that ours names.
test_package_depends_on_what_it_links_and_opens() {
    local path owner driver missing=''
    local -a named recommended
    with_root
    mapfile -t named < <(dpkg-deb --field "$package" Depends | tr ',' '\n' | sed 's/^ *//; s/[ :(|].*//')
    mapfile -t recommended < <(dpkg-deb --field "$package" Recommends | tr ',' '\n' | tr -d ' ')
    [[ $(in_root "$tree" ldd /usr/bin/pollux) != *'not found'* ]] || missing+=" $(in_root "$tree" ldd /usr/bin/pollux | grep 'not found')"
    while read -r path; do
        owner=$(in_root "$tree" dpkg -S "*/$path" | cut -d: -f1 | sort -u)
        [[ " ${named[*]} " == *" $owner "* ]] || missing+=" $owner (for $path)"
    done < <(objdump -p "$tree/usr/bin/pollux" | awk '$1 == "NEEDED" && $2 !~ /^ld-linux/ { print $2 }')
    for driver in bus_pci bus_vdev mempool_ring $(documented_drivers); do
        if [[ -e $tree/$PMDS/librte_$driver.so.23 ]]; then
            owner=$(in_root "$tree" dpkg -S "*/librte_$driver.so.23" | cut -d: -f1 | sort -u)
            [[ " ${named[*]} " == *" $owner "* ]] || missing+=" $owner (for $driver)"
        elif [[ " ${recommended[*]} " != *" librte-${driver//_/-}-23 "* ]]; then
            missing+=" $driver"
        fi
    done
    equal "$missing" ""
}

# The drivers of the links in README.md, and those of the NICs in deploy/README.md: their plugins' names without
# "librte_".
documented_drivers() {
    local -a nics
    mapfile -t nics < <(awk -F'`' '/^## / { on = $0 == "## NICs and drivers" } on && /^\| `/ { print ($4 ~ /^librte_/) ? substr($4, 8) : "net_" $2 }' "$root/deploy/README.md")
    [[ ${#nics[@]} -ge 10 ]] || fail "deploy/README.md has no table of drivers"
    # vhost is net_virtio's, through vhost-net.
    printf '%s\n' net_af_packet net_af_xdp net_memif net_tap net_virtio "${nics[@]}" | sort -u
}

test_package_has_what_an_operator_looks_for() {
    local path
    with_root
    for path in bin/pollux sbin/pollux-hugepages sbin/pollux-link sbin/pollux-upgrade sbin/pollux-announce share/man/man1/pollux-serve.1.gz share/man/man1/pollux.1.gz \
        share/bash-completion/completions/pollux share/zsh/vendor-completions/_pollux share/fish/vendor_completions.d/pollux.fish \
        share/doc/pollux/README.Debian share/doc/pollux/copyright share/doc/pollux/examples/af-xdp.conf; do
        [[ -s $tree/usr/$path ]] || fail "there is no /usr/$path"
    done
    equal "$(in_root "$tree" pollux --version)" "pollux $(sed -n 's/^version *= *"\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)"
    expect_says 'Pages are of 2 MiB' in_root "$tree" pollux-hugepages show
    for path in hugepages link upgrade announce; do
        expect_says "  pollux-$path " in_root "$tree" "pollux-$path" --help
    done
    # shellcheck disable=SC2016 # dpkg-query's own format
    expect_says 'pollux.toml' in_root "$tree" dpkg-query --show --showformat '${Conffiles}' pollux
    equal "$(in_root "$tree" getent passwd pollux | cut -d: -f6,7)" "/nonexistent:/usr/sbin/nologin"
    expect_says 'GET' in_root "$tree" pollux check --config /etc/pollux/pollux.toml
    # Scripts under the names that they have here.
    # shellcheck disable=SC2016 # quoted in the message
    expect_says '`pollux-hugepages reserve' in_root "$tree" pollux check --config /etc/pollux/pollux.toml
    mkdir -p "$tree/srv/www"
    expect_says 'redirect' in_root "$tree" pollux check --config /etc/pollux/site.toml
}

# There is no link, and the machine may have no hugepages: doctor says so and nothing else, and with what it says
# provided, the server serves.
test_package_doctor_says_what_is_missing_and_then_it_serves() {
    local pid
    with_root
    sed -i 's/^device = "auto"/device = "af_packet:pollux0"/' "$tree/etc/pollux/pollux.toml"
    # Whether some of the machine's hugepages are free is not this test's to say.
    equal "$(failures | tr ',' '\n' | grep -vx hugepages)" link
    expect_says 'fix: pollux-link up' failing in_root "$tree" pollux doctor --config /etc/pollux/pollux.toml
    trap 'in_root "$tree" pollux stop 2>/dev/null || true; in_root "$tree" pollux-hugepages release --owner package-tests; in_root "$tree" pollux-link down' EXIT
    in_root "$tree" pollux-link up
    share_hugepages
    in_root "$tree" pollux-hugepages reserve "$PAGES" --owner package-tests
    [[ -e $scratch/machine/hugepages/package-tests ]] || fail "the machine's records do not show the pages"
    equal "$(failures)" ""
    in_root "$tree" pollux serve --config /etc/pollux/pollux.toml >"$scratch/test/served" 2>&1 &
    pid=$!
    await 30 "$pid" answer pipeline >/dev/null 2>&1 || fail "$(cat "$scratch/test/served")"
    equal "$(answer pipeline)" ok
    expect_says 'requests' in_root "$tree" pollux stats
    in_root "$tree" pollux stop
    wait "$pid" || fail "the server ended with $?" "$(cat "$scratch/test/served")"
}

# What `pollux check` says, and some to spare.
PAGES=300

# The pages are the whole machine's: the root has its lock on them and its records.
share_hugepages() {
    mkdir -p "$tree/run/pollux/hugepages"
    touch "$tree/run/pollux/hugepages.lock"
    mount --bind "$scratch/machine/hugepages" "$tree/run/pollux/hugepages"
    mount --bind "$scratch/machine/hugepages.lock" "$tree/run/pollux/hugepages.lock"
}

# The checks of doctor that fail, in their order.
failures() {
    in_root "$tree" pollux doctor --config /etc/pollux/pollux.toml --json | python3 -c '
import json, sys
print(",".join(finding["check"] for finding in json.load(sys.stdin)["findings"] if finding["state"] == "fail"))'
}

# failing COMMAND...: succeeds where it fails with 2, as doctor does.
failing() {
    local status=0
    "$@" || status=$?
    [[ $status -eq 2 ]]
}

# make_upgrade: sets `upgrade`, a package of a higher version whose conffiles have changed.
make_upgrade() {
    local parts=$scratch/test/parts
    upgrade=$scratch/test/upgrade.deb
    dpkg-deb --raw-extract "$package" "$parts"
    sed -i 's/^Version: .*/Version: 99.0-1/' "$parts/DEBIAN/control"
    echo '# A line of the new version.' | tee -a "$parts/etc/pollux/site.toml" >>"$parts/etc/pollux/pollux.toml"
    rm -f "$parts/DEBIAN/md5sums"
    dpkg-deb --root-owner-group -Znone --build "$parts" "$upgrade" >/dev/null
    rm -rf "$parts"
}

test_package_upgrade_keeps_what_was_changed() {
    with_root
    make_upgrade
    cp "$upgrade" "$tree/tmp/"
    sed -i 's/^port = 8080/port = 8090/' "$tree/etc/pollux/pollux.toml"
    echo mine >"$tree/etc/pollux/mine.toml"
    # As apt does without a terminal: what the operator has changed is kept.
    expect_says '' in_root "$tree" dpkg --install --force-confold /tmp/upgrade.deb
    # shellcheck disable=SC2016 # dpkg-query's own format
    equal "$(in_root "$tree" dpkg-query --show --showformat '${Version} ${db:Status-Status}' pollux)" "99.0-1 installed"
    equal "$(grep -c '^port = 8090' "$tree/etc/pollux/pollux.toml")" 1
    equal "$(grep -c 'A line of the new version' "$tree/etc/pollux/pollux.toml")" 0
    equal "$(grep -c 'A line of the new version' "$tree/etc/pollux/pollux.toml.dpkg-dist")" 1
    equal "$(grep -c 'A line of the new version' "$tree/etc/pollux/site.toml")" 1
    equal "$(cat "$tree/etc/pollux/mine.toml")" mine
}

test_package_removed_leaves_configuration_and_purged_leaves_nothing() {
    with_root
    # Of a Pollux from a source tree; the links are made for the package's command.
    in_root "$tree" mkdir -p /run/pollux/hugepages
    echo 'boot 1' | tee "$tree/run/pollux/hugepages/quickstart" >"$tree/run/pollux/link-made"
    expect_says 'hugepages are still reserved' in_root "$tree" dpkg --remove pollux || return 1
    [[ ! -e $tree/usr/bin/pollux && -s $tree/etc/pollux/pollux.toml && -s $tree/etc/pollux/site.toml ]] ||
        fail "$(ls -R "$tree/etc/pollux")"
    # What the commands have written.
    mkdir -p "$tree/var/lib/pollux/nic" "$tree/etc/systemd/system/multi-user.target.wants" "$tree/etc/sysctl.d"
    echo record >"$tree/var/lib/pollux/nic/0000:01:00.0"
    ln -s /lib/systemd/system/pollux@.service "$tree/etc/systemd/system/multi-user.target.wants/pollux@site.service"
    ln -s /lib/systemd/system/pollux-hugepages.service "$tree/etc/systemd/system/multi-user.target.wants/"
    mkdir "$tree/etc/systemd/system/pollux@site.service.wants"
    ln -s /lib/systemd/system/pollux-announce@.service "$tree/etc/systemd/system/pollux@site.service.wants/pollux-announce@site.service"
    echo '# Written by hugepages.sh of Pollux; hugepages.sh unpersist removes this file.' >"$tree/etc/sysctl.d/60-pollux-hugepages.conf"
    in_root "$tree" dpkg --purge pollux
    [[ -e $tree/run/pollux/hugepages/quickstart ]] || fail "the record of somebody else is gone"
    # The user stays, on purpose.
    equal "$(diff "$scratch/before" <(list_files "$tree") | grep -v -e '^[0-9]' -e '/etc/\(passwd\|group\|shadow\|gshadow\)-$' || true)" ""
    expect_fails 1 'no packages found' in_root "$tree" dpkg-query --show pollux
}

# A CPU of the level x86-64-v2, and one below it, which must be refused for this to say anything.
test_package_runs_on_x86_64_v2() {
    with_root
    cp "$(command -v qemu-x86_64-static)" "$tree/tmp/qemu"
    expect_says 'pollux ' in_root "$tree" /tmp/qemu -cpu Nehalem /usr/bin/pollux --version
    expect_says 'GET' in_root "$tree" /tmp/qemu -cpu Nehalem /usr/bin/pollux check --config /etc/pollux/pollux.toml
    ! in_root "$tree" /tmp/qemu -cpu Penryn /usr/bin/pollux --version >/dev/null 2>&1 ||
        fail "it also runs below x86-64-v2: qemu does not show the difference"
}
