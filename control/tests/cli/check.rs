//! `pollux check`: reads everything, touches nothing, and says what is wrong where.

use std::fs;

use crate::pollux::pollux;

/// A route that needs no data.
const ROUTE: &str = "[[route]]\nkind = \"sum\"\npath = \"/\"\n";

#[test]
fn defaults_are_good_and_are_shown() {
    let checked = pollux(&["check"]);
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    for needed in [
        "http://198.18.0.2:8080/",
        "link     auto",
        "here: AF_XDP: ",
        "the built-in sample",
        "16384 connections",
        "hugepages.sh reserve",
    ] {
        assert!(checked.stdout.contains(needed), "lacks {needed}:\n{}", checked.stdout);
    }
}

#[test]
fn options_win_over_the_file() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = directory.path().join("p.toml");
    let text = format!("[listen]\nport = 81\naddress = \"10.1.2.3/8\"\n{ROUTE}");
    fs::write(&file, text).expect("writable");
    let file = file.to_str().expect("UTF-8");
    let checked = pollux(&["check", "--config", file, "--port", "82"]);
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    assert!(checked.stdout.contains("http://10.1.2.3:82/"), "{}", checked.stdout);
}

#[test]
fn the_time_a_stop_may_take_is_shown_in_whole_seconds() {
    let line = |options: &[&str]| {
        let checked = pollux(&[&["check"], options].concat());
        let lines = checked.stdout.lines().find(|line| line.starts_with("stop "));
        lines.map(str::to_owned).unwrap_or(checked.stderr)
    };
    let default = "stop     takes up to 8 s: deadlines.drain 8s";
    assert_eq!(line(&[]), default);
    let set = ["--set", "deadlines.withdraw=1min", "--set", "deadlines.drain=1500ms"];
    let long = "stop     takes up to 62 s: deadlines.drain 1500ms after deadlines.withdraw 1min";
    assert_eq!(line(&set), long);
}

#[test]
fn the_admin_socket_is_shown() {
    let line = "admin    /run/pollux/pollux.sock\n";
    assert!(pollux(&["check"]).stdout.contains(line));
    let set = ["check", "--set", "admin.name=shop", "--set", "admin.directory=/run/shop"];
    assert!(pollux(&set).stdout.contains("admin    /run/shop/shop.sock\n"));
}

#[test]
fn the_exception_interface_is_shown() {
    let checked = pollux(&["check", "--link", "af_xdp:eth1", "--exception", "pollux1"]);
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    let line = "kernel   pollux1, 198.18.0.2/24: what is not for TCP port 8080 is the kernel's\n";
    assert!(checked.stdout.contains(line), "{}", checked.stdout);
    assert!(!pollux(&["check"]).stdout.contains("kernel   "), "only where there is one");
}

#[test]
fn a_wrong_configuration_is_exit_code_2_and_one_line() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = directory.path().join("p.toml");
    fs::write(&file, format!("[limits]\nconections = 5\n{ROUTE}")).expect("writable");
    let file = file.to_str().expect("UTF-8");
    let checked = pollux(&["check", "--config", file]);
    assert_eq!(checked.code, 2);
    assert_eq!(
        checked.stderr,
        format!(
            "pollux: {file}:2: unknown key limits.conections; did you mean limits.connections?\n"
        )
    );
    fs::write(file, ROUTE).expect("writable");
    let checked = pollux(&["check", "--config", file, "--port", "0"]);
    assert_eq!(checked.code, 2);
    assert_eq!(
        checked.stderr,
        "pollux: --port: listen.port = \"0\": not understood; write a TCP port from 1 to 65535\n"
    );
}

#[test]
fn wrong_data_is_exit_code_2_and_names_its_file() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = directory.path().join("p.toml");
    let text = "[[route]]\nkind = \"dataset\"\npath = \"/\"\nfile = \"dataset.json\"\n";
    fs::write(&file, text).expect("writable");
    let file = file.to_str().expect("UTF-8");
    let data = directory.path().to_str().expect("UTF-8");
    let checked = pollux(&["check", "--config", file, "--data", data]);
    assert_eq!(checked.code, 2);
    let start = format!(
        "pollux: {file}:4: route.file = \"dataset.json\": {data}/dataset.json: expected a file with a \
         JSON array of items, found No such file"
    );
    assert!(checked.stderr.starts_with(&start), "{}", checked.stderr);
    fs::write(directory.path().join("dataset.json"), "[\n{\"price\":}\n]").expect("writable");
    let checked = pollux(&["check", "--config", file, "--data", data]);
    assert_eq!(checked.code, 2);
    let start = format!(
        "pollux: {file}:4: route.file = \"dataset.json\": {data}/dataset.json: line 2, column "
    );
    assert!(checked.stderr.starts_with(&start), "{}", checked.stderr);
}

#[test]
fn serving_without_a_port_says_what_to_do() {
    let options = ["--set", "memory.pages=ordinary", "--set", "admin.name=cli-check"];
    let link = ["serve", "--link", "af_packet:no-such-if"];
    let served = pollux(&[&link[..], &options[..]].concat());
    assert_eq!(served.code, 1, "{}", served.stderr);
    let last = served.stderr.lines().last().expect("a last word");
    assert!(last.contains("there is no interface no-such-if"), "{last}");
    assert!(last.contains("deploy/link.sh up"), "{last}");
}

/// The page has the table for the defaults, which depends on the size of hugepages here.
#[test]
fn the_table_of_the_page_is_what_check_prints() {
    let meminfo = fs::read_to_string("/proc/meminfo").expect("/proc is mounted");
    let size = meminfo.lines().find_map(|line| line.strip_prefix("Hugepagesize:"));
    if size.is_some_and(|size| size.trim() != "2048 kB") {
        println!("skipped: hugepages of this machine are not of 2 MiB");
        return;
    }
    let printed = pollux(&["check", "--sizing"]);
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/README.md");
    let page = fs::read_to_string(path).expect("readable");
    let (_, section) = page.split_once("\n## Sizing\n").expect("the page has a section Sizing");
    let (_, rest) = section.split_once("```text\n").expect("with a block");
    let (table, _) = rest.split_once("```").expect("that ends");
    assert_eq!(table, printed.stdout, "put the output of `pollux check --sizing` there");
}

#[test]
fn more_cores_take_more_buffers_and_the_own_number_is_a_row() {
    let arguments = ["check", "--sizing", "--set", "limits.connections=20000", "--cores", "0-1"];
    let printed = pollux(&arguments);
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    let rows: Vec<Vec<&str>> =
        printed.stdout.lines().skip(3).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows.len(), 6, "{}", printed.stdout);
    let own = rows.iter().find(|row| row[0] == "20000").expect("the own number");
    let one = pollux(&["check", "--sizing", "--set", "limits.connections=20000"]).stdout;
    let one = one.lines().find(|line| line.trim_start().starts_with("20000 ")).expect("a row");
    let mbufs = |cell: &str| cell.parse::<u64>().expect("a number");
    let alone: Vec<_> = one.split_whitespace().collect();
    assert_eq!(mbufs(own[1]), 2 * mbufs(alone[1]), "{one}");
}
