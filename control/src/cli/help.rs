//! Texts below the options in `--help` and the manual: exit codes, the environment, signals.

macro_rules! exit_codes {
    () => {
        "\
Exit codes:
  0  done, or stopped by a signal after everything was released
  1  failed at start or while running; the last line on standard error says why
  2  the command line, the configuration or the data is wrong"
    };
}

pub(super) const EXIT_CODES: &str = exit_codes!();

macro_rules! environment {
    () => {
        "\
Environment:
  POLLUX_SECTION_KEY  the key `section.key` of the configuration, written as for --set:
                      POLLUX_LISTEN_PORT=8081, POLLUX_LIMITS_HALF_OPEN=512, POLLUX_CORES_WORKERS=1,3
  DATABASE_URL        the PostgreSQL server, where nothing else gives postgres.url
  DATABASE_MAX_CONN   the most connections to it, whatever postgres.connections says
Options win over the environment, the environment over the file, and the file over the defaults. An empty
variable counts as absent. Another POLLUX_ variable is refused. A reload sees the variables the server was
started with. Routes and statements are written in a file.

"
    };
}

pub(super) const CHECK_HELP: &str = concat!(environment!(), exit_codes!());

pub(super) const COMMAND_EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  refused, or no server of that name runs; the last line on standard error says why
  2  the command line is wrong";

pub(super) const DRAIN_HELP: &str = "\
Requests under way are answered, each connection is closed after its next answer or where none is asked
for within a second, and new connections are reset; deadlines.withdraw before that, the server only says that
it is not ready. A server that has drained goes on running until `pollux resume` or `pollux stop`. While it
waits, this command shows how many connections are left: on a terminal on one line, otherwise on a line a
second.

Exit codes:
  0  drained, or with --no-wait: draining
  1  refused, resumed by somebody else, or no server of that name runs
  2  the command line is wrong
  3  connections were left after --timeout; the server goes on draining";

pub(super) const STOP_HELP: &str = "\
After deadlines.withdraw (0s), the server finishes the requests under way for at most deadlines.drain (8s)
and releases the port. This command ends when the admin socket is gone.

Exit codes:
  0  stopped
  1  refused, or no server of that name runs; the last line on standard error says why
  2  the command line is wrong
  3  the server was still there after --timeout; it goes on stopping";

pub(super) const VERSION_HELP: &str = "\
Exit codes:
  0  done, whether or not a server runs
  2  the command line is wrong";

pub(super) const COMPLETIONS_HELP: &str = "\
Put the script where the shell looks for it:
  bash  pollux completions bash >/usr/share/bash-completion/completions/pollux
  zsh   pollux completions zsh >/usr/local/share/zsh/site-functions/_pollux
  fish  pollux completions fish >/usr/share/fish/vendor_completions.d/pollux.fish

Exit codes:
  0  done
  1  standard output cannot be written
  2  the command line is wrong";

pub(super) const STATS_HELP: &str = "\
Counters only grow and are never reset; levels (open connections, waiting requests, free buffers) are as of
now. A response takes from the turn of the core that took the last byte of the request head to the end of
the turn that queued the last byte of the response; offload is the part of it that was waited for a database
or a compression. Reading costs a running server nothing that a request would notice.

Exit codes:
  0  done
  1  no server of that name runs, or no worker runs on that core
  2  the command line is wrong";

pub(super) const RELOAD_HELP: &str = "\
Configuration file and data directory are read again, checked, and served from the next request on;
requests and connections under way go on. What is wrong is refused as a whole: what was served before
still is. Keys other than data.directory, files.*, statements and routes take effect at a restart, and are
named. It is given up after deadlines.reload (2min).

Exit codes:
  0  done
  1  refused, or no server of that name runs; the last lines on standard error say why
  2  the command line is wrong";

pub(super) const DOCTOR_HELP: &str = "\
Every finding is a line: ok, warn or fail, what was examined, what was found, and below it the
command that mends it. Failures come first, counts last. What a running server of this name
(admin.name) holds is not missing. Nothing is changed; run it as root, and in the network
namespace of the link.

With --json, one object:
  {\"version\":1,\"findings\":[{\"check\":\"..\",\"node\":0,\"state\":\"warn\",\"found\":\"..\",\"fix\":\"..\"}],
  \"ok\":0,\"warn\":1,\"fail\":0}
Names of checks are stable; node and fix are left out where there is none.

Exit codes:
  0  all is well
  1  there are warnings: it may be slow, or something is left behind or unknown
  2  there are failures: the server does not start, or does not work, like this";

pub(super) const TOP_HELP: &str = "\
Keys: q quit, ? help, p pause, s sort routes, tab or arrows pick a core, + and - change the interval.
NO_COLOR is respected. A server that goes away is waited for.

Exit codes:
  0  ended by a key or a signal
  1  the terminal failed; the last line on standard error says why
  2  standard output is not a terminal, or the command line is wrong";

pub(super) const SERVE_HELP: &str = concat!(
    environment!(),
    "\
Signals:
  SIGTERM, SIGINT  finish the requests under way (deadlines.drain, 8s), release the port, exit 0
  a second SIGINT  release the port at once
  SIGHUP           read configuration and data again, as `pollux reload` does; the log says the outcome

The log goes to standard error. The line with the message `ready` says that requests are answered.

",
    exit_codes!()
);
