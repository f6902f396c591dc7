//! `pollux doctor` beside a real link: nothing fails, what is wrong is named with the command that
//! mends it, and what a running server holds is not missing.

use serde_json::Value;
use testkit::{Rig, RigPlan, Tool, script};

use crate::kit::{ServerPlan, binary};

/// What it says of the link of `rig`.
fn examine(rig: &Rig) -> Vec<Value> {
    let name = format!("admin.name={}", rig.name);
    let binary = binary();
    let mut arguments: Vec<String> = rig.exec_arguments().into();
    arguments.push(binary.to_str().expect("a path in UTF-8").into());
    let options = ["doctor", "--json", "--link", "af_xdp:pollux0", "--cores", "1", "--set", &name];
    arguments.extend(options.map(str::to_owned));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let link = script("deploy/link.sh");
    let output = Tool::new(30, link.to_str().expect("a path in UTF-8"), &arguments)
        .with("DATABASE_URL", "")
        .output();
    let text = String::from_utf8_lossy(&output.stdout);
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr))
    });
    // Cores are not isolated where tests run, and no database is named.
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    assert_eq!(report["fail"], 0, "{report:#}");
    report["findings"].as_array().expect("a list").clone()
}

/// The findings of a check with a word in what was found.
fn of<'a>(findings: &'a [Value], check: &str, word: &str) -> Vec<&'a Value> {
    let has = |finding: &&Value| {
        let found = finding["found"].as_str().unwrap_or_default();
        finding["check"] == check && found.contains(word)
    };
    findings.iter().filter(has).collect()
}

/// The only one of these must be so.
#[track_caller]
fn expect(findings: &[Value], check: &str, word: &str, state: &str) -> String {
    let [finding] = of(findings, check, word)[..] else {
        panic!("not one {check} with {word}: {findings:#?}");
    };
    assert_eq!(finding["state"], state, "{finding:#}");
    finding["fix"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_link_is_good_and_what_is_switched_on_is_mended_by_the_command_named() {
    Rig::run(RigPlan::VETH, |rig| {
        let findings = examine(rig);
        for (check, word) in [
            ("hugepages", "count and the plan needs"),
            ("link", "pollux0 is up"),
            ("capabilities", ""),
            ("driver", ""),
            ("pmd", ""),
            ("bpffs", ""),
            ("mtu", ""),
            ("offloads", "pollux0: off"),
            ("offloads", "pollux-host: off"),
            ("promiscuity", ""),
            ("xdp", "no program"),
            ("address", "is free"),
            ("server", "no server"),
        ] {
            expect(&findings, check, word, "ok");
        }
        Tool::new(5, "ethtool", &["-K", "pollux-host", "tx", "on", "gso", "on"]).text();
        let fix = expect(&examine(rig), "offloads", "pollux-host", "warn");
        assert!(fix.starts_with("ethtool -K pollux-host tx off gso off"), "{fix}");
        Tool::new(5, "sh", &["-c", &fix]).text();
        expect(&examine(rig), "offloads", "pollux-host", "ok");
    });
}

#[test]
fn what_a_running_server_holds_is_not_missing_and_what_a_killed_one_leaves_is() {
    Rig::run(RigPlan::VETH, |rig| {
        let server = ServerPlan::af_xdp().serve(rig);
        let findings = examine(rig);
        let held = format!("held by the server (process {})", server.pid());
        expect(&findings, "server", &format!("runs (process {})", server.pid()), "ok");
        expect(&findings, "hugepages", &held, "ok");
        expect(&findings, "xdp", &held, "ok");
        expect(&findings, "address", "held by the server", "ok");
        server.stop(rig);
        let findings = examine(rig);
        expect(&findings, "server", "no server", "ok");
        expect(&findings, "xdp", "no program", "ok");
        expect(&findings, "promiscuity", "", "ok");
        expect(&findings, "runtime-directories", "", "ok");
        // Killed, it has no time to take its program away.
        drop(ServerPlan::af_xdp().serve(rig));
        let fix = expect(&examine(rig), "xdp", "no process holds it", "warn");
        assert!(fix.starts_with("ip link set dev pollux0 xdp off"), "{fix}");
        Tool::new(5, "sh", &["-c", &fix]).text();
        expect(&examine(rig), "xdp", "no program", "ok");
    });
}
