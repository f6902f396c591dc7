//! A reload loses nothing and nobody: under load, in the middle of an answer, and when it is refused.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Output;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::socket::{setsockopt, sockopt::RcvBuf};
use testkit::{APPLIANCE, Client, PORT, Response, Rig, RigPlan, TIMEOUT, Tool};

use crate::kit::{Drive, Exchange, Server, ServerPlan, Stats, Template, binary, wrk};

/// A configuration file and two data directories that it may name.
struct Operator {
    scratch: PathBuf,
    /// Of the server.
    name: String,
}

/// What is served at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SiteVersion {
    Old,
    New,
}

impl SiteVersion {
    fn word(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Old => Self::New,
            Self::New => Self::Old,
        }
    }

    /// The page that everybody asks for; its length differs too.
    fn page(self) -> Vec<u8> {
        match self {
            Self::Old => b"an old page\n".repeat(40),
            Self::New => b"quite a new page\n".repeat(90),
        }
    }

    /// What takes its time to be sent.
    fn large(self) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(self as u64);
        std::iter::repeat_with(|| random.u8(..)).take(LARGE).collect()
    }
}

impl Operator {
    /// With the old edition.
    fn new(rig: &Rig) -> Self {
        let operator = Self { scratch: rig.scratch.path().to_owned(), name: rig.name.clone() };
        for edition in [SiteVersion::Old, SiteVersion::New] {
            let files = operator.data(edition).join("static");
            fs::create_dir_all(&files).expect("a directory of ours");
            fs::write(files.join("page.txt"), edition.page()).expect("writable");
            fs::write(files.join("large.bin"), edition.large()).expect("writable");
        }
        operator.write(&operator.text(SiteVersion::Old, ""));
        operator
    }

    fn data(&self, edition: SiteVersion) -> PathBuf {
        self.scratch.join(edition.word())
    }

    fn file(&self) -> PathBuf {
        self.scratch.join("pollux.toml")
    }

    /// A configuration that serves this edition, with more before its routes.
    fn text(&self, edition: SiteVersion, more: &str) -> String {
        let (data, word) = (self.data(edition), edition.word());
        format!(
            "[data]\ndirectory = \"{}\"\n{more}\n\
             [[route]]\npath = \"/edition\"\nkind = \"fixed\"\ntype = \"text/plain\"\nbody = \"{word}\"\n\n\
             [[route]]\npath = \"/static/\"\nkind = \"files\"\ndirectory = \"static\"\n",
            data.display()
        )
    }

    /// Replaces the configuration as an editor does: whole.
    fn write(&self, text: &str) {
        let fresh = self.scratch.join("pollux.toml.new");
        fs::write(&fresh, text).expect("writable");
        fs::rename(&fresh, self.file()).expect("the same directory");
    }

    fn serve(&self, rig: &Rig) -> Server {
        let file = self.file();
        ServerPlan::af_xdp().with(&["--config", file.to_str().expect("UTF-8")]).serve(rig)
    }

    /// `pollux reload`, however it ends.
    fn reload(&self) -> Output {
        let binary = binary();
        let program = binary.to_str().expect("a path in UTF-8");
        Tool::new(30, program, &["reload", "--name", &self.name]).output()
    }

    /// `pollux reload`, which must be done; returns what it said.
    #[track_caller]
    fn reload_well(&self) -> String {
        let output = self.reload();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{errors}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("reloaded in"), "{text}");
        text
    }
}

#[test]
fn reloads_under_load_lose_nothing() {
    Rig::run(RigPlan::VETH, |rig| {
        let operator = Operator::new(rig);
        let server = operator.serve(rig);
        let mut edition = SiteVersion::Old;
        for _ in 0..WARMING {
            edition = edition.other();
            operator.write(&operator.text(edition, ""));
            operator.reload_well();
        }
        let settled = |reloads: u64| {
            let done = |stats: &Stats| stats.reload("reloads") == reloads;
            let gone = |stats: &Stats| stats.reload("sites_retired") == 0;
            server.stats_when("all reloads and nothing old", |stats| done(stats) && gone(stats))
        };
        let before = settled(WARMING);
        let (resident, hugepages) = server.memory();
        let slow = SlowReader::begin();
        let reloads = thread::scope(|scope| {
            let crowd = scope.spawn(|| wrk(64, SECONDS, "/static/page.txt"));
            let checker = scope.spawn(|| either_page().run());
            let slow = scope.spawn(move || slow.finish(edition));
            let reloads = keep_reloading(&server, &operator, edition);
            slow.join().expect("the slow reader gets what it asked for");
            let checked = checker.join().expect("a driver");
            print!("{}", checked.table());
            checked.expect_no_fault();
            let load = crowd.join().expect("wrk runs");
            println!("wrk: {:.0} requests/s, {} answers", load.rate, load.done);
            assert!(load.done > 0 && load.faults.is_empty(), "{:?}\n{}", load.faults, load.text);
            reloads
        });
        let after = settled(WARMING + reloads);
        let (resident_after, hugepages_after) = server.memory();
        println!(
            "{reloads} reloads, resident {resident} -> {resident_after}, hugepages {hugepages} -> \
             {hugepages_after}"
        );
        assert!(reloads >= RELOADS_MIN, "{reloads} reloads in {SECONDS} s");
        assert_eq!(after.reload("reloads_refused"), 0);
        let installed = |stats: &Stats| stats.total("sites_installed");
        assert_eq!(installed(&after) - installed(&before), reloads, "one worker took each");
        assert!(resident_after < resident + GROWTH_MAX, "resident memory grows");
        assert!(hugepages_after <= hugepages, "hugepages grow");
        for name in ["responses_4xx", "responses_5xx", "connections_aborted"] {
            assert_eq!(after.total(name), 0, "{name}");
        }
        server.stop(rig);
    });
}

/// Changes the edition every 200 ms, by the command and by SIGHUP in turn; an open connection sees
/// every change. Returns how many there were.
fn keep_reloading(server: &Server, operator: &Operator, mut edition: SiteVersion) -> u64 {
    let mut witness = Client::open();
    let start = Instant::now();
    let mut reloads = 0;
    while start.elapsed() < Duration::from_secs(u64::from(SECONDS)) {
        edition = edition.other();
        operator.write(&operator.text(edition, ""));
        if reloads % 2 == 0 {
            operator.reload_well();
            assert_eq!(ask_edition(&mut witness), edition.word(), "as the command says");
        } else {
            server.signal(Signal::SIGHUP);
            let sent = Instant::now();
            while ask_edition(&mut witness) != edition.word() {
                assert!(sent.elapsed() < Duration::from_secs(5), "SIGHUP has no effect");
                thread::sleep(Duration::from_millis(5));
            }
        }
        reloads += 1;
        let next = EVERY * u32::try_from(reloads).expect("few");
        thread::sleep(next.saturating_sub(start.elapsed()));
    }
    reloads
}

fn ask_edition(witness: &mut Client) -> String {
    String::from_utf8(get(witness, "/edition").body).expect("a word")
}

fn get(client: &mut Client, path: &str) -> Response {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    let answer = client.response();
    assert_eq!(answer.status, 200, "{path}: {:?}", answer.fields);
    answer
}

/// Some connections that look at what they get: one page or the other, whole.
fn either_page() -> Drive {
    let either = |answer: &Response| {
        let good = [SiteVersion::Old, SiteVersion::New].iter().any(|e| e.page() == answer.body);
        if good { Ok(()) } else { Err(format!("a page of {} bytes", answer.body.len())) }
    };
    let page = Exchange::get("/static/page.txt", "").passes(either);
    Drive::new(vec![Template::new("page", vec![page])], 8, Duration::from_secs(SECONDS.into()))
}

/// Somebody who takes the large file over most of the test.
struct SlowReader {
    stream: TcpStream,
    received: Vec<u8>,
}

impl SlowReader {
    /// Asks for it, and waits until it begins to come.
    fn begin() -> Self {
        let mut stream = TcpStream::connect((APPLIANCE, PORT)).expect("the appliance is there");
        // So that the rest stays with the server.
        setsockopt(&stream, RcvBuf, &WINDOW).expect("a TCP socket has SO_RCVBUF");
        stream.set_read_timeout(Some(TIMEOUT)).expect("not zero");
        let request = b"GET /static/large.bin HTTP/1.1\r\nHost: a\r\n\r\n";
        stream.write_all(request).expect("a short request");
        let mut reader = Self { stream, received: Vec::new() };
        reader.read();
        reader
    }

    /// Takes the rest in step with the time that is left; it must be that of `edition`.
    fn finish(mut self, edition: SiteVersion) {
        let start = Instant::now();
        let extent = Response::extent(&self.received, false).expect("the head came first");
        while self.received.len() < extent {
            let due =
                Duration::from_secs(u64::from(SECONDS) - 2).mul_f64(share(self.received.len()));
            thread::sleep(due.saturating_sub(start.elapsed()));
            self.read();
        }
        let (answer, _) = Response::read(&self.received, false).expect("all is there");
        assert!(answer.body == edition.large(), "what began old ends old");
        println!("the slow reader had its {LARGE} bytes after {:.1?}", start.elapsed());
    }

    fn read(&mut self) {
        let mut room = [0; WINDOW];
        let count = self.stream.read(&mut room).expect("the server goes on");
        assert!(count > 0, "ended after {} bytes", self.received.len());
        self.received.extend_from_slice(&room[..count]);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share of some megabytes")]
fn share(bytes: usize) -> f64 {
    bytes as f64 / LARGE as f64
}

#[test]
fn an_answer_ends_as_it_began_and_the_next_is_new() {
    Rig::run(RigPlan::VETH, |rig| {
        let operator = Operator::new(rig);
        let server = operator.serve(rig);
        let stream = TcpStream::connect((APPLIANCE, PORT)).expect("the appliance is there");
        setsockopt(&stream, RcvBuf, &WINDOW).expect("a TCP socket has SO_RCVBUF");
        let mut client = Client::of(stream);
        client.send("GET /static/large.bin HTTP/1.1\r\nHost: a\r\n\r\n");
        // The answer is under way, and far from done.
        server.stats_when("an answer", |stats| stats.total("responses_2xx") == 1);
        operator.write(&operator.text(SiteVersion::New, ""));
        operator.reload_well();
        assert_eq!(ask_edition(&mut Client::open()), "new");
        let held = server.stats_when("a reload", |stats| stats.reload("reloads") == 1);
        assert_eq!(held.reload("sites_retired"), 1, "somebody still has something of it");
        let answer = client.response();
        assert!(answer.body == SiteVersion::Old.large(), "what began old ends old");
        assert_eq!(ask_edition(&mut client), "new");
        assert!(get(&mut client, "/static/large.bin").body == SiteVersion::New.large());
        server.stats_when("that nothing old is left", |s| s.reload("sites_retired") == 0);
        server.stop(rig);
    });
}

#[test]
fn what_is_wrong_is_refused_and_changes_nothing() {
    Rig::run(RigPlan::VETH, |rig| {
        let operator = Operator::new(rig);
        let server = operator.serve(rig);
        let mut witness = Client::open();
        let good = operator.text(SiteVersion::New, "");
        let missing = good.replace("directory = \"static\"", "directory = \"nowhere\"");
        let mistakes = [
            (good.replace("kind = \"fixed\"", "kind = \"fixd\""), "fixd"),
            (good.replace("[[route]]", "[[route"), "pollux.toml"),
            (format!("{good}\n[[route]]\npath = \"/edition\"\nkind = \"sum\"\n"), "/edition"),
            (operator.text(SiteVersion::New, "[limits]\nhaed = \"1KiB\"\n"), "haed"),
            (missing, "nowhere"),
        ];
        for (text, named) in &mistakes {
            operator.write(text);
            let output = operator.reload();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{named}: {errors}");
            assert!(errors.contains("refused") && errors.contains(named), "{named}: {errors}");
            assert_eq!(ask_edition(&mut witness), "old", "{named}");
        }
        server.signal(Signal::SIGHUP);
        let count = mistakes.len() as u64 + 1;
        server.stats_when("the refusals", |stats| stats.reload("reloads_refused") == count);
        server.logged(&["refused", "nowhere"]);
        operator.write(&good);
        operator.reload_well();
        assert_eq!(ask_edition(&mut witness), "new", "a good one is taken all the same");
        let stats = server.stop(rig).stats;
        assert_eq!(stats.reload("reloads"), 1);
        let output = operator.reload();
        assert_eq!(output.status.code(), Some(1), "nobody is there to be asked");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.contains(&operator.name), "{errors}");
    });
}

#[test]
fn sigterm_does_not_wait_for_a_site_that_is_compiled() {
    Rig::run(RigPlan::VETH, |rig| {
        let operator = Operator::new(rig);
        let server = operator.serve(rig);
        // Half of each byte is noise: it is coded, and not quickly.
        let mut random = fastrand::Rng::with_seed(1);
        let noise = std::iter::repeat_with(|| b'a' + random.u8(..16));
        let files = operator.data(SiteVersion::New).join("static");
        fs::write(files.join("0.txt"), noise.take(64 << 10).collect::<Vec<_>>()).expect("writable");
        for at in 1..SLOW_FILES {
            let name = files.join(format!("{at}.txt"));
            fs::hard_link(files.join("0.txt"), name).expect("the same directory");
        }
        let slow = operator.text(SiteVersion::New, "");
        operator.write(&format!("{slow}compress = \"precomputed\"\n"));
        server.signal(Signal::SIGHUP);
        let line = server.logged(&["reloading: ", "compiling the site: ", " of 1503 files"]);
        let stopped = server.stop(rig);
        println!("{line}\nexit 0 {:?} after SIGTERM", stopped.took);
        assert!(stopped.took < STOP_WITHIN, "no connection is open: {:?}", stopped.took);
        assert_eq!(stopped.stats.reload("reloads"), 0, "{}", stopped.log);
    });
}

#[test]
fn what_takes_a_restart_is_named() {
    Rig::run(RigPlan::VETH, |rig| {
        let operator = Operator::new(rig);
        let server = operator.serve(rig);
        let more = "[limits]\nbody = \"1MiB\"\n[deadlines]\nidle = \"33s\"\n";
        operator.write(&operator.text(SiteVersion::New, more));
        let said = operator.reload_well();
        let waiting = said.lines().find(|line| line.contains("takes effect at a restart"));
        let waiting = waiting.unwrap_or_else(|| panic!("nothing waits: {said}"));
        for key in ["limits.body", "deadlines.idle"] {
            assert!(waiting.contains(key), "{key}: {waiting}");
        }
        assert!(!waiting.contains("data.directory"), "{waiting}");
        assert_eq!(ask_edition(&mut Client::open()), "new", "the rest takes effect at once");
        operator.write(&operator.text(SiteVersion::Old, ""));
        let said = operator.reload_well();
        assert!(!said.contains("restart"), "as it runs: {said}");
        server.stop(rig);
    });
}

/// Many seconds of compression, in any build.
const SLOW_FILES: usize = 1_500;
/// To stop the workers, and to give back the port.
const STOP_WITHIN: Duration = Duration::from_secs(3);
const SECONDS: u32 = 10;
const EVERY: Duration = Duration::from_millis(200);
/// Half of what there is time for: the machine may be busy.
const RELOADS_MIN: u64 = 25;
/// Reloads before memory is looked at: heaps and page tables have their size by then.
const WARMING: u64 = 6;
/// One snapshot that stays would be more.
const GROWTH_MAX: u64 = LARGE as u64;
/// Bytes of the large file.
const LARGE: usize = 8 << 20;
/// Receive buffer of who reads slowly.
const WINDOW: usize = 64 << 10;
