//! The exception path on a real link: one port serves HTTP under load and is still the kernel's for SSH,
//! for connections and datagrams outwards, and for whatever else there is.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::Signal;
use testkit::{APPLIANCE, HOST, PORT, Rig, RigPlan, Running, TIMEOUT, Tool};

use crate::kit::{Server, ServerPlan};

const NAME: &str = "pollux1";
const SSH_PORT: u16 = 2_222;
const MIB: usize = 1 << 20;

/// A namespace of its own for the host's end of the link: the other machine.
struct OtherMachine(String);

impl OtherMachine {
    fn of(rig: &Rig) -> Self {
        let name = format!("{}-other", rig.name);
        ip(&["netns", "add", &name]);
        ip(&["link", "set", "pollux-host", "netns", &name]);
        let cidr = format!("{HOST}/24");
        ip(&["-n", &name, "address", "add", &cidr, "dev", "pollux-host"]);
        ip(&["-n", &name, "link", "set", "pollux-host", "up"]);
        ip(&["-n", &name, "link", "set", "lo", "up"]);
        Self(name)
    }

    /// A program there.
    fn tool(&self, seconds: u32, command: &[&str]) -> Tool {
        Tool::new(seconds, "ip", &[&["netns", "exec", &self.0], command].concat())
    }

    /// Runs `deed` on a thread there.
    fn run<T: Send + 'static>(
        &self,
        deed: impl FnOnce() -> T + Send + 'static,
    ) -> thread::JoinHandle<T> {
        let namespace = File::open(format!("/run/netns/{}", self.0)).expect("it is there");
        thread::spawn(move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).expect("root may enter it");
            deed()
        })
    }
}

impl Drop for OtherMachine {
    fn drop(&mut self) {
        Tool::new(5, "ip", &["netns", "del", &self.0]).output();
    }
}

fn ip(arguments: &[&str]) -> String {
    Tool::new(5, "ip", arguments).text()
}

fn serve(rig: &Rig) -> Server {
    ServerPlan::af_xdp().with(&["--exception", NAME]).serve(rig)
}

fn is_there() -> bool {
    if_nametoindex(NAME).is_ok()
}

/// Bytes that repeat only after a long while.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..len.div_ceil(8)).flat_map(|_| next()).take(len).collect()
}

/// A real sshd beside the server, with keys of its own.
struct Sshd {
    _running: Running,
    key: PathBuf,
}

impl Sshd {
    fn start(rig: &Rig) -> Self {
        let at = |name: &str| rig.scratch.path().join(name);
        for name in ["host", "user"] {
            let file = at(name);
            let file = file.to_str().expect("a path in UTF-8");
            Tool::new(20, "ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", file]).text();
        }
        // sshd wants this directory of its package, empty and root's.
        fs::create_dir_all("/run/sshd").expect("root may make it");
        let config = format!(
            "Port {SSH_PORT}\nListenAddress {APPLIANCE}\nHostKey {}\nAuthorizedKeysFile {}\n\
             PermitRootLogin prohibit-password\nStrictModes no\nUsePAM no\nPidFile none\n",
            at("host").display(),
            at("user.pub").display()
        );
        fs::write(at("sshd_config"), config).expect("writable");
        let config = at("sshd_config");
        let arguments = ["-D", "-e", "-f", config.to_str().expect("a path in UTF-8")];
        let running = Tool::new(120, "/usr/sbin/sshd", &arguments).start();
        Self { _running: running, key: at("user") }
    }

    /// `ssh` with its arguments, for `command` here.
    fn ssh(&self, command: &str) -> Vec<String> {
        let key = self.key.to_str().expect("a path in UTF-8");
        let options = ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"];
        let more = ["LogLevel=ERROR", "ConnectionAttempts=10"];
        let mut words = vec!["ssh", "-F", "none"];
        options.iter().chain(&more).for_each(|option| words.extend(["-o", option]));
        let (port, target) = (SSH_PORT.to_string(), format!("root@{APPLIANCE}"));
        words.extend(["-i", key, "-p", &port, &target, command]);
        words.into_iter().map(str::to_owned).collect()
    }
}

#[test]
fn one_port_serves_http_and_is_still_the_kernels() {
    Rig::run(RigPlan::VETH, |rig| {
        let other = OtherMachine::of(rig);
        let server = serve(rig);
        let shown = ip(&["address", "show", "dev", NAME]);
        assert!(shown.contains(&format!("inet {APPLIANCE}/24")), "{shown}");
        assert!(shown.contains(&mac_of("pollux0")), "the port's MAC: {shown}");
        assert!(shown.contains("mtu 1500") && shown.contains(",UP"), "{shown}");
        let url = format!("http://{APPLIANCE}:{PORT}/pipeline");
        let load =
            other.tool(60, &["wrk", "-t1", "-c32", "-d15s", "--timeout", "4s", &url]).start();
        other.tool(20, &["ping", "-c", "3", "-i", "0.2", "-W", "2", &APPLIANCE.to_string()]).text();
        reach_ssh_and_carry_bulk(rig, &other);
        connect_outwards(&other);
        ask_outwards(&other);
        let said = load.join();
        println!("{said}");
        assert!(said.contains("requests in") && !said.contains("Socket errors"), "{said}");
        assert!(!said.contains("Non-2xx"), "{said}");
        let stopped = server.stop(rig);
        assert!(!is_there(), "{NAME} is gone with the server");
        let total = |name: &str| stopped.stats.total(name);
        println!("{:?}, lost {:?}", stopped.stats.nonzero("exception_"), stopped.stats.losses());
        assert!(total("exception_rx_bytes") > 10 * MIB as u64, "bulk came in");
        assert!(total("exception_tx_bytes") > 10 * MIB as u64, "bulk went out");
        assert!(total("echo_replies") >= 3, "pings are answered by the worker");
        assert_eq!(total("exception_tx_too_long") + total("exception_write_failed"), 0);
    });
}

/// A command, and 10 MiB each way, byte by byte.
fn reach_ssh_and_carry_bulk(rig: &Rig, other: &OtherMachine) {
    let sshd = Sshd::start(rig);
    // `ssh` on the other machine, reading `from` and writing `to` there: the files are the same.
    let ssh = |command: &str, from: &Path, to: &Path| {
        let script = format!("exec \"$@\" <{} >{}", from.display(), to.display());
        let ssh = sshd.ssh(command);
        let words: Vec<&str> = ssh.iter().map(String::as_str).collect();
        let start = Instant::now();
        other.tool(60, &[&["bash", "-c", &script, "-"], &words[..]].concat()).text();
        println!("ssh {command}: {:?}", start.elapsed());
    };
    let file = |name: &str| rig.scratch.path().join(name);
    let nothing = Path::new("/dev/null");
    ssh("echo here", nothing, &file("said"));
    assert_eq!(fs::read_to_string(file("said")).expect("it was written"), "here\n");
    let bytes = noise(10 * MIB);
    fs::write(file("bulk"), &bytes).expect("writable");
    ssh(&format!("cat {}", file("bulk").display()), nothing, &file("fetched"));
    ssh(&format!("cat >{}", file("stored").display()), &file("bulk"), nothing);
    for name in ["fetched", "stored"] {
        assert!(
            fs::read(file(name)).expect("it was written") == bytes,
            "10 MiB {name} as they were"
        );
    }
}

/// A TCP connection from this kernel to a server on the other machine.
fn connect_outwards(other: &OtherMachine) {
    let (ready, bound) = std::sync::mpsc::channel();
    let echo = other.run(move || {
        let listener = TcpListener::bind((HOST, 9_000)).expect("nobody else listens there");
        ready.send(()).expect("somebody waits");
        let (mut stream, peer) = listener.accept().expect("somebody connects");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("it ends");
        stream.write_all(&bytes).expect("it is read");
        peer
    });
    bound.recv_timeout(TIMEOUT).expect("it listens");
    let mut stream = TcpStream::connect((HOST, 9_000)).expect("it is answered");
    let bytes = noise(MIB);
    stream.write_all(&bytes).expect("it is taken");
    stream.shutdown(std::net::Shutdown::Write).expect("it is open");
    let mut back = Vec::new();
    stream.read_to_end(&mut back).expect("it comes back");
    assert!(back == bytes, "a mebibyte comes back as it was");
    assert_eq!(echo.join().expect("it echoes").ip(), APPLIANCE);
}

/// Datagrams to a server on the other machine, and its answers, as a resolver has them.
fn ask_outwards(other: &OtherMachine) {
    let (ready, bound) = std::sync::mpsc::channel();
    let server = other.run(move || {
        let socket = UdpSocket::bind((HOST, 5_353)).expect("nobody else is there");
        socket.set_read_timeout(Some(TIMEOUT)).expect("not zero");
        ready.send(()).expect("somebody waits");
        let mut buffer = [0; 512];
        for _ in 0..20 {
            let (len, from) = socket.recv_from(&mut buffer).expect("somebody asks");
            assert_eq!(from.ip(), APPLIANCE);
            socket.send_to(&buffer[..len], from).expect("it leaves");
        }
    });
    bound.recv_timeout(TIMEOUT).expect("it is there");
    let socket = UdpSocket::bind(SocketAddr::from((APPLIANCE, 0))).expect("the address is ours");
    socket.set_read_timeout(Some(TIMEOUT)).expect("not zero");
    for number in 0..20_u8 {
        socket.send_to(&[number; 100], (HOST, 5_353)).expect("it leaves");
        let mut buffer = [0; 512];
        let len = socket.recv(&mut buffer).expect("it is answered");
        assert_eq!(&buffer[..len], &[number; 100]);
    }
    server.join().expect("it answered everything");
}

#[test]
fn a_killed_server_leaves_no_interface() {
    Rig::run(RigPlan::VETH, |rig| {
        let mut server = serve(rig);
        assert!(is_there());
        server.signal(Signal::SIGKILL);
        server.wait(Duration::from_secs(10));
        let start = Instant::now();
        while is_there() {
            assert!(start.elapsed() < TIMEOUT, "{NAME} is still there");
            thread::sleep(Duration::from_millis(10));
        }
    });
}

/// Frames that the kernel does not take are counted; removed by hand, the interface does no harm.
#[test]
fn http_goes_on_without_the_interface() {
    Rig::run(RigPlan::VETH, |rig| {
        let other = OtherMachine::of(rig);
        let server = serve(rig);
        let url = format!("http://{APPLIANCE}:{PORT}/pipeline");
        ip(&["link", "set", NAME, "down"]);
        let connect = ["bash", "-c", "timeout 1 bash -c '</dev/tcp/198.18.0.2/22' || true"];
        other.tool(10, &connect).output();
        server.stats_when("a frame not taken", |stats| stats.total("exception_write_failed") > 0);
        other.tool(10, &["curl", "-sf", "-o", "/dev/null", &url]).text();
        ip(&["link", "del", NAME]);
        let start = Instant::now();
        while !server.log().contains("the exception interface pollux1 is gone") {
            assert!(start.elapsed() < TIMEOUT, "{}", server.log());
            thread::sleep(Duration::from_millis(10));
        }
        other.tool(10, &["curl", "-sf", "-o", "/dev/null", &url]).text();
        let before = cpu_of(server.pid());
        thread::sleep(Duration::from_secs(1));
        let used = cpu_of(server.pid()) - before;
        assert!(used < 30, "an idle server used {used} hundredths of a second in one");
        server.stop(rig);
    });
}

/// Hundredths of a second of processor time that a process has used: proc(5), utime and stime.
fn cpu_of(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let (_, rest) = stat.rsplit_once(')').expect("a name in brackets");
    let field = |at: usize| rest.split_whitespace().nth(at).and_then(|text| text.parse().ok());
    let (user, system): (Option<u64>, Option<u64>) = (field(11), field(12));
    user.zip(system).map(|(user, system)| user + system).expect("numbers")
}

#[test]
fn a_start_that_cannot_have_the_interface_says_what_to_do() {
    Rig::run(RigPlan::VETH, |rig| {
        let refused = |plan: ServerPlan, code: i32, words: &[&str]| {
            let (was, log) = plan.launch(rig).refusal();
            let last = log.lines().last().unwrap_or_default();
            assert_eq!(was, code, "{log}");
            words.iter().for_each(|word| assert!(last.contains(word), "no {word:?}: {last}"));
        };
        let exception = |name: &str| ServerPlan::af_xdp().with(&["--exception", name]);
        refused(exception("pollux-host"), 1, &["pollux-host", "already", "ip link del"]);
        refused(exception("pollux0"), 2, &["link.exception", "pollux0", "link.device"]);
        refused(exception("a_name_that_is_too_long"), 2, &["link.exception", "1 to 15"]);
        let address = format!("{HOST}/24");
        let plan = exception(NAME).with(&["--address", &address]);
        refused(plan, 1, &["198.18.0.1", "pollux-host", "ip address del 198.18.0.1/24"]);
        assert_eq!(rig.xdp_program(), None, "a start that failed leaves nothing");
        assert!(!is_there());
    });
}

fn mac_of(interface: &str) -> String {
    let shown = ip(&["-brief", "link", "show", "dev", interface]);
    shown.split_whitespace().nth(2).expect("an interface has a MAC").to_owned()
}
