use std::path::Path;

use super::*;

fn host() -> HostCores {
    HostCores::of(vec![0, 1, 2, 3]).expect("not empty")
}

fn check(text: &str) -> Result<Plan, ConfigError> {
    let config = Config::parse(Path::new("p.toml"), text).expect("keys are known");
    Plan::check(&config, &host())
}

fn message(text: &str) -> String {
    check(text).expect_err("is refused").to_string()
}

#[test]
fn defaults_are_those_of_the_crates_that_obey_them() {
    let plan = check("").expect("defaults hold");
    assert_eq!(plan.deadlines, Deadlines::default());
    assert_eq!(plan.limits, Limits::DEFAULT);
    assert_eq!(plan.link, LinkSpec::Auto);
    assert_eq!((plan.address, plan.prefix), (Ipv4Addr::new(198, 18, 0, 2), 24));
    assert_eq!(plan.port, 8080);
    assert!(plan.probe);
    assert_eq!(plan.cores, [3], "the last core, one worker");
    assert_eq!(plan.tally.connections, 16_384);
    assert_eq!(plan.tally.half_open, 4_096);
    assert_eq!(plan.tally.receive_buffer, 16_384);
    assert_eq!(plan.tally.transmit_buffer, 16_384);
    assert_eq!(plan.drain, Duration::from_secs(8));
    assert_eq!((plan.data, plan.stats), (None, None));
}

#[test]
fn the_example_file_gives_every_key_its_default() {
    let text = include_str!("../../../pollux.example.toml");
    let config = Config::parse(Path::new("pollux.example.toml"), text).expect("keys are known");
    let given: Vec<_> = config.keys().collect();
    assert_eq!(given, Key::ALL, "every key stands in the example, once");
    let plan = Plan::check(&config, &host()).expect("the example holds");
    assert_eq!(plan, check("").expect("defaults hold"));
}

#[test]
fn several_cores_share_with_slack() {
    let plan = check("cores.workers = \"1-2\"").expect("holds");
    assert_eq!(plan.cores, [1, 2]);
    assert_eq!(plan.connections, 16_384);
    assert_eq!(plan.tally.connections, 9_216);
    assert_eq!(plan.tally.half_open, 2_304);
    assert_eq!(share(1, 4), 1);
}

#[test]
fn values_that_do_not_parse_name_place_key_and_fix() {
    assert_eq!(
        message("[listen]\nport = 99999"),
        "p.toml:2: listen.port = \"99999\": not understood; write a TCP port from 1 to 65535"
    );
    assert_eq!(
        message("[limits]\nhead = \"16KB\""),
        "p.toml:2: limits.head = \"16KB\": not understood; write octets such as 16384, \"16KiB\" \
         or \"32MiB\""
    );
    assert_eq!(
        message("[deadlines]\nhead = 10"),
        "p.toml:2: deadlines.head = \"10\": not understood; write a number with its unit such as \
         \"50us\", \"100ms\" or \"10s\""
    );
    assert_eq!(
        message("[cores]\nidle = \"sleep\""),
        "p.toml:2: cores.idle = \"sleep\": not understood; write auto, poll or adaptive"
    );
    assert_eq!(
        message("[link]\ndevice = \"eth0\""),
        "p.toml:2: link.device = \"eth0\": `eth0` is neither a PCI address such as 0000:01:00.0 nor \
         a virtual device such as net_tap0,iface=pollux0; write auto, af_xdp:IFACE, \
         af_packet:IFACE, tap:IFACE, memif:PATH[,role=server|client], pci:0000:01:00.0, or a DPDK \
         device argument such as net_af_packet0,iface=eth1"
    );
}

#[test]
fn values_out_of_range_name_the_range() {
    assert_eq!(
        message("limits.connections = 0"),
        "p.toml:1: limits.connections = \"0\": too small; write 1 to 1048576"
    );
    assert_eq!(
        message("cores.idle_sleep = \"1s\""),
        "p.toml:1: cores.idle_sleep = \"1s\": too long; write 1us to 10ms"
    );
    assert_eq!(
        message("cores.workers = \"2-4\""),
        "p.toml:1: cores.workers = \"2-4\": core 4 is not there; this process may use 0,1,2,3"
    );
}

#[test]
fn values_that_contradict_name_both() {
    assert_eq!(
        message("limits.receive_buffer = \"8KiB\""),
        "p.toml:1: limits.receive_buffer = \"8KiB\": smaller than limits.head = \"16KiB\"; a full \
         head must fit: raise limits.receive_buffer or lower limits.head"
    );
    assert_eq!(
        message("limits.head = \"4KiB\"\nlimits.line = \"8KiB\""),
        "p.toml:2: limits.line = \"8KiB\": more than limits.head = \"4KiB\"; lower limits.line or \
         raise limits.head"
    );
    assert_eq!(
        message("limits.half_open = 20000"),
        "p.toml:1: limits.half_open = \"20000\": more than limits.connections = \"16384\"; lower \
         limits.half_open or raise limits.connections"
    );
}

#[test]
fn defaults_give_way_to_a_lower_bound() {
    let plan = check("limits.head = \"4KiB\"\nlimits.connections = 100").expect("holds");
    assert_eq!(plan.limits.line_len_max, 4_096);
    assert_eq!(plan.tally.half_open, 100);
}

#[test]
fn an_address_is_one_hosts() {
    assert_eq!(address("10.0.0.1/31").map(|a| a.1), Ok(31));
    for bad in [
        "198.18.0.2",
        "198.18.0.0/24",
        "198.18.0.255/24",
        "127.0.0.1/8",
        "224.0.0.5/24",
        "255.255.255.255/32",
        "0.0.0.0/0",
        "::1/64",
        "198.18.0.2/33",
    ] {
        assert!(address(bad).is_err(), "{bad}");
    }
}
