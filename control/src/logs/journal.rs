//! The systemd journal as the reader of standard error: whether it is, and lines with their priority in
//! front, as sd-daemon(3) has them.

use std::env;
use std::io;

use nix::sys::stat::fstat;
use tracing::Level;

/// Whether standard error is connected to the journal: `JOURNAL_STREAM` has its device and inode
/// (systemd.exec(5)). A child whose standard error goes elsewhere inherits the variable, but not these.
pub(crate) fn reads_stderr() -> bool {
    let Ok(named) = env::var("JOURNAL_STREAM") else { return false };
    let Ok(stat) = fstat(io::stderr()) else { return false };
    parse(&named) == Some((stat.st_dev, stat.st_ino))
}

/// `DEVICE:INODE`, both decimal.
fn parse(text: &str) -> Option<(u64, u64)> {
    let (device, inode) = text.split_once(':')?;
    Some((device.parse().ok()?, inode.parse().ok()?))
}

/// `text` as the journal takes it: an entry for each line, all with the priority of `level`. The journal ends an
/// entry at a NUL as well; empty lines it drops.
pub(super) fn entries(level: Level, text: &str) -> String {
    let priority = priority(level);
    let lines = text.trim_start().split(['\n', '\0']).map(str::trim_end);
    lines.filter(|line| !line.is_empty()).map(|line| format!("<{priority}>{line}\n")).collect()
}

/// The priority of syslog(3).
const fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_its_priority() {
        assert_eq!(entries(Level::ERROR, "ERROR one\n"), "<3>ERROR one\n");
        assert_eq!(entries(Level::WARN, " WARN one\n  two\n"), "<4>WARN one\n<4>  two\n");
        assert_eq!(entries(Level::INFO, "a\n\n\nb\r\n"), "<6>a\n<6>b\n");
        assert_eq!(entries(Level::DEBUG, "a\0b"), "<7>a\n<7>b\n", "a NUL ends an entry, too");
        assert_eq!(entries(Level::TRACE, "<0>forged"), "<7><0>forged\n");
        assert_eq!(entries(Level::INFO, "\n"), "");
    }

    #[test]
    fn a_stream_is_a_device_and_an_inode() {
        assert_eq!(parse("8:4711"), Some((8, 4711)));
        for wrong in ["", "8", "8:", ":8", "8:x", "8:4711:1", "0x8:1"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
