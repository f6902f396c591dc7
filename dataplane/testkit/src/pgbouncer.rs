//! A PgBouncer of one test, in transaction mode, in front of a [`Postgres`]: a few sessions of the server, shared by
//! all clients, which keep no prepared statements.

use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::User;

use crate::postgres::{AS_USER, Postgres, USER};

/// A pooler that is up.
#[derive(Debug)]
pub struct PgBouncer {
    directory: tempfile::TempDir,
    child: Child,
}

impl PgBouncer {
    /// Starts one that takes `sessions` of `server`'s at most, and waits until it listens.
    ///
    /// # Panics
    /// If there is no PgBouncer, or it does not come up.
    #[track_caller]
    #[must_use]
    pub fn start_new(server: &Postgres, sessions: u32) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let user = User::from_name(USER).expect("the users can be read");
        let user = user.unwrap_or_else(|| panic!("no user {USER}: the package makes it"));
        chown(directory.path(), Some(user.uid.as_raw()), Some(user.gid.as_raw()))
            .expect("root may give it away");
        let path = |name: &str| directory.path().join(name);
        let config = CONFIG
            .replace("{server}", &server.directory().display().to_string())
            .replace("{directory}", &directory.path().display().to_string())
            .replace("{port}", &PORT.to_string())
            .replace("{sessions}", &sessions.to_string());
        fs::write(path("pgbouncer.ini"), config).expect("root may write there");
        let child = launch(directory.path());
        Self { directory, child }
    }

    /// Starts it again if it has ended, as a service manager does: 1.18 may end with "bad client state" where requests
    /// to cancel meet clients that go. Returns whether it had.
    ///
    /// # Panics
    /// If it does not come up.
    #[track_caller]
    pub fn restart_if_ended(&mut self) -> bool {
        let has_ended = self.child.try_wait().expect("a child of ours").is_some();
        if has_ended {
            fs::remove_file(self.socket()).ok();
            self.child = launch(self.directory.path());
        }
        has_ended
    }

    /// The socket that it listens on, for who stands between.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join(format!(".s.PGSQL.{PORT}"))
    }

    /// What goes into `DATABASE_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        let directory = self.directory.path().display();
        format!("host={directory} port={PORT} user=postgres dbname=postgres")
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            let last = log.lines().rev().take(20).collect::<Vec<_>>();
            eprintln!("--- PgBouncer said, last line first:\n{}\n---", last.join("\n"));
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[track_caller]
fn launch(directory: &Path) -> Child {
    let path = |name: &str| directory.join(name);
    let log = File::options().create(true).append(true).open(path("log"));
    // Whatever becomes of the test, its pooler does not outlive it: setpriv(1).
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).args(AS_USER).arg("pgbouncer");
    command.arg(path("pgbouncer.ini")).current_dir(directory);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(log.expect("root may write there"));
    let mut child = command.spawn().expect("setpriv (util-linux) runs");
    let (start, socket) = (Instant::now(), path(&format!(".s.PGSQL.{PORT}")));
    while !socket.exists() {
        let has_ended = child.try_wait().is_ok_and(|status| status.is_some());
        if has_ended || start.elapsed() > START_MAX {
            child.kill().ok();
            child.wait().ok();
            let log = fs::read_to_string(path("log")).unwrap_or_default();
            panic!("PgBouncer (package pgbouncer) does not listen:\n{log}");
        }
        thread::sleep(Duration::from_millis(10));
    }
    child
}

/// Part of the name of its socket; it does not listen on TCP.
const PORT: u16 = 6432;
const CONFIG: &str = "\
[databases]
postgres = host={server} port=5432 dbname=postgres user=postgres

[pgbouncer]
unix_socket_dir = {directory}
listen_port = {port}
auth_type = any
pool_mode = transaction
default_pool_size = {sessions}
max_client_conn = 100
server_login_retry = 0.2
";
/// How long it may take to come up.
const START_MAX: Duration = Duration::from_secs(10);
