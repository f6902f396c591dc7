use std::path::Path;

use super::*;
use crate::config::Environment;

fn host() -> HostCores {
    HostCores::of(vec![0, 1, 2, 3]).expect("not empty")
}

fn config(text: &str) -> Config {
    Config::parse(Path::new("p.toml"), text).expect("is TOML")
}

fn check(text: &str) -> Result<Plan, ConfigError> {
    Plan::check(&config(text), &host())
}

/// As with these in the environment.
fn check_with(
    text: &str,
    database_url: Option<&str>,
    database_max_conn: Option<&str>,
) -> Result<Plan, ConfigError> {
    let mut config = config(text);
    config.apply_environment(Environment {
        database_url: database_url.map(str::to_owned),
        database_max_conn: database_max_conn.map(str::to_owned),
        ..Environment::default()
    });
    Plan::check(&config, &host())
}

fn message(text: &str) -> String {
    check(text).expect_err("is refused").to_string()
}

#[test]
fn all_wrong_values_are_told_at_once() {
    let text =
        "listen.port = 0\ndeadlines.drain = \"soon\"\n[[route]]\nkind = \"fixd\"\npath = \"/\"\n";
    let message = message(text);
    let lines: Vec<&str> = message.lines().collect();
    assert_eq!(lines.len(), 3, "{message}");
    assert!(lines[0].starts_with("p.toml:4: route.kind = \"fixd\""), "{message}");
    assert!(lines[1..].iter().any(|line| line.starts_with("p.toml:1: listen.port")), "{message}");
    assert!(
        lines[1..].iter().any(|line| line.starts_with("p.toml:2: deadlines.drain")),
        "{message}"
    );
}

#[test]
fn a_value_is_not_compared_with_one_that_is_wrong() {
    // Against the default of limits.head, 16 KiB, the line would be too long.
    let message = message("limits.head = \"much\"\nlimits.line = \"20KiB\"");
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(message.contains("limits.head = \"much\""), "{message}");
}

#[test]
fn wrong_values_are_told_beside_keys_of_similar_names() {
    let message = message("cores.idle = \"maybe\"\ncores.idle_after = \"soon\"");
    assert_eq!(message.lines().count(), 2, "{message}");
    let message = self::message(
        "limits.request_buffer = \"x\"\ndata.directory = \"limits.request_buffer\"\nlisten.port = 0",
    );
    assert_eq!(message.lines().count(), 2, "{message}");
}

/// Values that contradict each other are one error, and hide no other.
#[test]
fn a_contradiction_is_told_once() {
    let service = "listen.address = \"10.0.0.2/24\"\nlink.address = \"10.0.0.3/24\"\n";
    let memory = "limits.parked = 8192\nlimits.request_buffer = \"1MiB\"\n";
    let message = message(&format!("{service}{memory}listen.port = 0"));
    assert_eq!(message.lines().count(), 3, "{message}");
}

#[test]
fn a_wrong_environment_and_a_wrong_file_are_told_together() {
    let error = check_with("listen.port = 0", None, Some("many")).expect_err("both are wrong");
    assert_eq!(error.to_string().lines().count(), 2, "{error}");
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
    assert_eq!((plan.withdraw, plan.drain), (Duration::ZERO, Duration::from_secs(8)));
    assert_eq!((plan.link_address, plan.on_link()), (None, (plan.address, 24)));
    assert_eq!((plan.data, plan.stats), (None, None));
    assert_eq!((plan.parked, plan.request_buffer, plan.cache_entries), (4_096, 4_096, 65_536));
    assert_eq!(plan.admin_name, "pollux");
    assert_eq!(plan.admin_directory, Path::new("/run/pollux"));
    let seconds = Duration::from_secs;
    assert_eq!(
        plan.postgres,
        PostgresPlan {
            server: None,
            connections: 16,
            pipeline: 8,
            timeout: seconds(2),
            queue: 4_096
        }
    );
    assert_eq!(
        plan.sqlite,
        SqlitePlan { threads: 3, cache: 64 << 20, timeout: seconds(2), queue: 4_096 },
        "a thread for each core without a worker"
    );
    assert_eq!(plan.compute, ComputePlan { threads: 3, queue: 1_024 });
}

#[test]
fn the_example_file_gives_every_key_its_default() {
    let config = Config::parse(Path::new("pollux.example.toml"), EXAMPLE).expect("is TOML");
    let given: Vec<_> = config.keys().collect();
    assert_eq!(given, Key::ALL, "every key stands in the example, once");
    let plan = Plan::check(&config, &host()).expect("the example holds");
    assert_eq!(plan, check("").expect("defaults hold"));
}

#[test]
fn metrics_have_an_address_or_none() {
    let metrics = |text: &str| check(text).expect("holds").metrics;
    assert_eq!(metrics(""), "127.0.0.1:9464".parse().ok());
    assert_eq!(metrics("metrics.listen = \"[::1]:9000\""), "[::1]:9000".parse().ok());
    assert_eq!(metrics("metrics.listen = \"\""), None);
    for wrong in ["9464", "localhost:9464", "127.0.0.1:0", "off"] {
        assert_eq!(
            message(&format!("metrics.listen = {wrong:?}")),
            format!(
                "p.toml:1: metrics.listen = {wrong:?}: not understood; write an address and a port \
                 such as \"127.0.0.1:9464\", or \"\" for no metrics"
            )
        );
    }
}

#[test]
fn a_service_address_stands_beside_an_address_on_the_link() {
    let text = "listen.address = \"192.0.2.10/32\"\nlink.address = \"10.0.0.2/24\"";
    let plan = check(text).expect("holds");
    assert_eq!(plan.address, Ipv4Addr::new(192, 0, 2, 10));
    assert_eq!(plan.on_link(), (Ipv4Addr::new(10, 0, 0, 2), 24));
    let plan = check("listen.address = \"192.0.2.10/32\"").expect("holds without one");
    assert_eq!(plan.on_link(), (Ipv4Addr::new(192, 0, 2, 10), 32));
    assert_eq!(
        message("listen.address = \"192.0.2.10/24\"\nlink.address = \"10.0.0.2/24\""),
        "p.toml:1: listen.address = \"192.0.2.10/24\": beside link.address it is a service address, which has no \
         network; write 192.0.2.10/32, or leave link.address empty"
    );
    assert_eq!(
        message("listen.address = \"10.0.0.2/32\"\nlink.address = \"10.0.0.2/24\""),
        "p.toml:2: link.address = \"10.0.0.2/24\": the same as listen.address; leave link.address empty, or write \
         listen.address = \"ADDRESS/32\" with another one"
    );
    assert!(message("link.address = \"10.0.0.2\"").contains("with its prefix length"));
}

#[test]
fn without_routes_the_built_in_ones_hold() {
    let plan = check("").expect("defaults hold");
    assert_eq!(plan.routes.origin, "built-in arena.toml");
    let paths: Vec<_> = plan.routes.entries.iter().map(|entry| entry.plan.path.as_str()).collect();
    for path in ["/pipeline", "/json/{count}", "/static/", "/db", "/crud/items/{id}"] {
        assert!(paths.contains(&path), "lacks {path}");
    }
    assert_eq!(plan.routes.idle_statements, [] as [&str; 0]);
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
        "p.toml:2: limits.head = \"16KB\": not understood; write bytes such as 16384, \"16KiB\" \
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
        message("[link]\noffloads = \"none\""),
        "p.toml:2: link.offloads = \"none\": not understood; write auto or off"
    );
    assert_eq!(
        message("[link]\ndevice = \"eth0\""),
        "p.toml:2: link.device = \"eth0\": `eth0` is neither a PCI address such as 0000:01:00.0 nor \
         a virtual device such as net_tap0,iface=pollux0; write auto, af_xdp:IFACE, \
         af_packet:IFACE, tap:IFACE, vhost[:IFACE], memif:PATH[,role=server|client], \
         pci:0000:01:00.0, or a DPDK device argument such as net_af_packet0,iface=eth1"
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
fn limits_of_a_source_are_off_until_they_are_given() {
    assert_eq!(check("").expect("holds").sources, SourceLimits::default());
    let text = "limits.source_connections = 100\nlimits.source_half_open = 50\n\
                limits.source_requests = 10\n\
                limits.source_unlimited = [\"10.0.0.0/8\", \"192.0.2.7\"]";
    let plan = check(text).expect("holds");
    let sources = plan.sources;
    let bounds = (sources.connections, sources.half_open, sources.requests);
    assert_eq!((bounds, sources.unlimited.len()), ((100, 50, 10), 2));
    assert_eq!(
        message("limits.source_half_open = 5000"),
        "p.toml:1: limits.source_half_open = \"5000\": more than limits.half_open = \"4096\"; lower \
         limits.source_half_open or raise limits.half_open"
    );
    assert_eq!(
        message("limits.source_requests = 5000"),
        "p.toml:1: limits.source_requests = \"5000\": more than limits.parked = \"4096\"; lower \
         limits.source_requests or raise limits.parked"
    );
    assert_eq!(
        message("limits.source_unlimited = \"10.0.0.0/33\""),
        "p.toml:1: limits.source_unlimited = \"10.0.0.0/33\": not understood; write up to 64 networks \
         such as [\"10.0.0.0/8\", \"192.0.2.7\"], or \"\" for none"
    );
}

#[test]
fn defaults_give_way_to_a_lower_bound() {
    let plan = check("limits.head = \"4KiB\"\nlimits.connections = 100").expect("holds");
    assert_eq!(plan.limits.line_len_max, 4_096);
    assert_eq!(plan.tally.half_open, 100);
}

#[test]
fn an_address_that_is_no_hosts_says_why() {
    assert_eq!(
        message("listen.address = \"198.18.0.0/24\""),
        "p.toml:1: listen.address = \"198.18.0.0/24\": the address of the network itself; write the address of one host \
         with its prefix length such as \"198.18.0.2/24\""
    );
    let plan = check("listen.address = \"10.0.0.1/31\"").expect("RFC 3021");
    assert_eq!(plan.prefix, 31);
}

#[test]
fn a_core_has_one_worker_and_a_link_one_vlan() {
    assert_eq!(
        message("cores.workers = \"0,0\""),
        "p.toml:1: cores.workers = \"0,0\": core 0 is named twice, and it has one worker; name each core once"
    );
    assert_eq!(check("link.vlan = \"4094\"").expect("holds").vlan, Some(4_094));
    assert_eq!(check("").expect("holds").vlan, None);
    for bad in ["0", "4095", "x", "-1"] {
        assert_eq!(
            message(&format!("link.vlan = \"{bad}\"")),
            format!(
                "p.toml:1: link.vlan = \"{bad}\": not understood; write a VLAN from 1 to 4094, or \"\" for untagged frames"
            )
        );
    }
}

#[test]
fn what_waits_fits_connections_and_memory() {
    let plan = check("limits.connections = 100").expect("the default gives way");
    assert_eq!(plan.parked, 100);
    assert_eq!(
        message("limits.parked = 20000"),
        "p.toml:1: limits.parked = \"20000\": more than limits.connections = \"16384\"; lower \
         limits.parked or raise limits.connections"
    );
    assert_eq!(
        message("limits.request_buffer = \"1MiB\""),
        "built-in default: limits.parked = \"4096\": with limits.request_buffer = \"1MiB\" more than 1 GiB of \
         memory; lower one of the two"
    );
    assert_eq!(
        message("limits.request_buffer = 100"),
        "p.toml:1: limits.request_buffer = \"100\": too small; write 256 to 1048576"
    );
}

#[test]
fn threads_are_a_number_or_as_many_as_cores_are_free() {
    let plan = check("cores.workers = \"0-3\"\nsqlite.threads = 2").expect("holds");
    assert_eq!((plan.sqlite.threads, plan.compute.threads), (2, 4), "no core is free: all of them");
    assert_eq!(
        message("[compute]\nthreads = \"many\""),
        "p.toml:2: compute.threads = \"many\": not understood; write auto (one per core without a \
         worker), or 1 to 256"
    );
    assert!(message("sqlite.threads = 0").contains("1 to 256"));
}

#[test]
fn nothing_waits_longer_than_its_client() {
    let plan = check("deadlines.response = \"500ms\"").expect("the default gives way");
    assert_eq!(plan.deadlines.response_ms, 500);
    assert_eq!(plan.postgres.timeout, Duration::from_millis(250), "half of a short one is left");
    let plan = check("sqlite.timeout = \"9500ms\"").expect("a statement may take that long");
    assert_eq!(plan.sqlite.timeout, Duration::from_millis(9_500));
    for key in ["postgres", "sqlite"] {
        assert_eq!(
            message(&format!("[{key}]\ntimeout = \"10s\"")),
            format!(
                "p.toml:2: {key}.timeout = \"10s\": more than 9500ms, which deadlines.response = \
                 \"10s\" leaves a statement; lower {key}.timeout or raise deadlines.response"
            )
        );
    }
}

#[test]
fn the_environment_names_a_server_where_the_file_names_none() {
    let url = "postgres://bench:secret@db.example:6000/arena";
    let plan = check_with("", Some(url), Some("256")).expect("holds");
    assert_eq!(plan.postgres.server_name().as_deref(), Some("bench@db.example:6000/arena"));
    assert_eq!(plan.postgres.connections, 16, "256 is the most, not the number");
    assert!(!format!("{plan:?}").contains("secret"), "a password was shown");
    let file = "postgres.url = \"host=/run/postgresql user=me\"\npostgres.connections = 300";
    let plan = check_with(file, Some(url), Some("200")).expect("holds");
    assert_eq!(plan.postgres.server_name().as_deref(), Some("me@/run/postgresql:5432/me"));
    assert_eq!(plan.postgres.connections, 200);
}

#[test]
fn a_wrong_environment_is_named_and_no_password_is_shown() {
    for number in ["0", "many", "-1", "1.5"] {
        let error = check_with("", None, Some(number)).expect_err("is no bound");
        assert_eq!(
            error.to_string(),
            format!(
                "DATABASE_MAX_CONN: postgres.connections = {number:?}: not a positive number; set it \
                 to the most connections the server lets us have, or unset it"
            )
        );
    }
    let fix = "write postgres://USER:PASSWORD@HOST:PORT/DATABASE (special characters \
               percent-encoded) or \"host=HOST user=USER dbname=DATABASE\"";
    for (url, problem) in [
        ("postgres://u:secret@h:port/db", "invalid value for option `port`"),
        ("postgres://u@h/db?secret=1", "not understood"),
        ("secret", "not understood"),
        ("user=u password=secret", "names no host"),
    ] {
        let error = check_with("", Some(url), None).expect_err("is no server").to_string();
        let want = format!("DATABASE_URL: postgres.url = \"(not shown)\": {problem}; {fix}");
        assert_eq!(error, want, "{url}");
    }
    for url in ["postgres://u:a@secret@h/db", "postgres://u:a@b/secret@h/db"] {
        let error = check_with("", Some(url), None).expect_err("is ambiguous").to_string();
        assert!(error.contains("more than one `@`") && !error.contains("secret"), "{error}");
    }
    assert!(check_with("", Some("postgres://u:a@h/db?application_name=a@b"), None).is_ok());
    let tls = check("postgres.url = \"postgres://u:secret@h/db?sslmode=require\"");
    assert_eq!(
        tls.expect_err("is not spoken").to_string(),
        "p.toml:1: postgres.url = \"(not shown)\": asks for TLS, which is not spoken here; write \
         sslmode=disable, and reach the server over a network you trust or a Unix socket"
    );
    let table = config("postgres.url = { password = \"secret\" }");
    assert!(!table.errors()[0].to_string().contains("secret"));
    for elsewhere in [
        "[postgres]\nulr = \"postgres://u:secret@h/db\"",
        "[[route]]\npath = \"/\"\nkind = \"sum\"\nurl = \"postgres://u:secret@h/db\"",
        "[[route]]\npath = \"/\"\nkind = \"postgres://u:secret@h/db\"",
        "\"postgres://u:secret@h/db\" = 1",
    ] {
        let config = config(elsewhere);
        let errors: Vec<_> = config.errors().iter().map(ToString::to_string).collect();
        assert!(!errors.is_empty() && !errors.join("\n").contains("secret"), "{errors:?}");
    }
    let link = message("link.device = \"postgres://u:secret@h/db\"");
    assert!(link.contains("(not shown)") && !link.contains("secret"), "{link}");
}

#[test]
fn the_name_of_the_socket_is_one_of_a_file() {
    assert_eq!(check("admin.name = \"edge-1\"").expect("holds").admin_name, "edge-1");
    for bad in ["", "a/b", ".hidden", "a b"] {
        let message = message(&format!("admin.name = {bad:?}"));
        assert!(message.starts_with(&format!("p.toml:1: admin.name = {bad:?}: ")), "{message}");
    }
}

#[test]
fn the_path_of_the_socket_is_one_that_a_socket_can_have() {
    // As pollux@.service has it: each server's directory is named for it.
    let text = |len: usize| {
        let name = "n".repeat(len);
        format!("admin.name = \"{name}\"\nadmin.directory = \"/run/pollux/{name}\"")
    };
    check(&text(44)).expect("12 + 44 + 1 + 44 + 5 bytes are 106");
    let message = message(&text(46));
    for words in ["p.toml:2: admin.directory", "a path of 110 bytes", "107", "shorten admin.name"] {
        assert!(message.contains(words), "lacks {words}: {message}");
    }
}

#[test]
fn mistakes_of_the_file_and_of_values_are_told_together() {
    let text = "[listen]\nport = 0\nprot = 1\n[[route]]\nkind = \"sum\"\n";
    assert_eq!(
        message(text),
        "p.toml:3: unknown key listen.prot; did you mean listen.port?\n\
         p.toml:4: route.path: is missing; write path = \"/..\"\n\
         p.toml:2: listen.port = \"0\": not understood; write a TCP port from 1 to 65535"
    );
}

const EXAMPLE: &str = include_str!("../../../pollux.example.toml");

#[test]
fn an_exception_interface_has_a_name_of_its_own() {
    assert_eq!(check("").expect("holds").exception, None);
    let plan = check("[link]\ndevice = \"af_xdp:eth1\"\nexception = \"pollux1\"\n");
    assert_eq!(plan.expect("holds").exception.as_deref(), Some("pollux1"));
    let same = message("[link]\ndevice = \"af_xdp:eth1\"\nexception = \"eth1\"\n");
    assert!(same.starts_with("p.toml:3: link.exception = \"eth1\": the interface of"), "{same}");
    let long = message("link.exception = \"sixteen_letters_\"\n");
    assert!(long.contains("no name for an interface; write 1 to 15 letters"), "{long}");
}

#[test]
fn a_link_that_the_kernel_has_too_takes_no_exception_interface() {
    for device in ["af_packet:eth1", "tap:eth1", "net_af_packet0,iface=eth1"] {
        let shared = message(&format!("[link]\ndevice = {device:?}\nexception = \"pollux1\"\n"));
        assert!(shared.contains("would reset HTTP connections; use af_xdp"), "{shared}");
    }
}
