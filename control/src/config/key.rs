//! Every key there is: its path in the file, its default, and what it means.
//!
//! The default is written as an operator would write it and goes through the same parser as theirs.

use handlers::nearest;

macro_rules! keys {
    ($($name:ident = $path:literal, $default:literal;)*) => {
        /// A key of the configuration.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Key { $($name,)* }

        impl Key {
            /// All of them, section by section.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// `section.key`.
            pub(crate) const fn path(self) -> &'static str {
                match self { $(Self::$name => $path,)* }
            }

            /// What holds when nobody says anything.
            pub(crate) const fn default_text(self) -> &'static str {
                match self { $(Self::$name => $default,)* }
            }
        }
    };
}

keys! {
    LinkDevice = "link.device", "auto";
    LinkAddress = "link.address", "";
    LinkException = "link.exception", "";
    LinkOffloads = "link.offloads", "auto";
    LinkVlan = "link.vlan", "";
    LinkGone = "link.gone", "5s";
    ListenAddress = "listen.address", "198.18.0.2/24";
    ListenPort = "listen.port", "8080";
    ListenProbe = "listen.probe", "true";
    CoresWorkers = "cores.workers", "last";
    CoresIdle = "cores.idle", "auto";
    CoresIdleAfter = "cores.idle_after", "2000";
    CoresIdleSleep = "cores.idle_sleep", "50us";
    DataDirectory = "data.directory", "";
    FilesLinks = "files.links", "within";
    FilesUnreadable = "files.unreadable", "refuse";
    FilesDotNames = "files.dot_names", ".well-known";
    LimitsConnections = "limits.connections", "16384";
    LimitsHalfOpen = "limits.half_open", "4096";
    LimitsSourceConnections = "limits.source_connections", "0";
    LimitsSourceHalfOpen = "limits.source_half_open", "0";
    LimitsSourceRequests = "limits.source_requests", "0";
    LimitsSourceUnlimited = "limits.source_unlimited", "";
    LimitsReceiveBuffer = "limits.receive_buffer", "16KiB";
    LimitsTransmitBuffer = "limits.transmit_buffer", "16KiB";
    LimitsHead = "limits.head", "16KiB";
    LimitsLine = "limits.line", "8KiB";
    LimitsFields = "limits.fields", "100";
    LimitsBody = "limits.body", "32MiB";
    LimitsChunkExtensions = "limits.chunk_extensions", "16KiB";
    LimitsParked = "limits.parked", "4096";
    LimitsRequestBuffer = "limits.request_buffer", "4KiB";
    DeadlinesHandshake = "deadlines.handshake", "5s";
    DeadlinesHead = "deadlines.head", "10s";
    DeadlinesBodyGrace = "deadlines.body_grace", "10s";
    DeadlinesBodyRate = "deadlines.body_rate", "1KiB/s";
    DeadlinesIdle = "deadlines.idle", "60s";
    DeadlinesStall = "deadlines.stall", "30s";
    DeadlinesStallRate = "deadlines.stall_rate", "128B/s";
    DeadlinesResponse = "deadlines.response", "10s";
    DeadlinesClose = "deadlines.close", "10s";
    DeadlinesWithdraw = "deadlines.withdraw", "0s";
    DeadlinesDrain = "deadlines.drain", "8s";
    DeadlinesReload = "deadlines.reload", "2min";
    PostgresUrl = "postgres.url", "";
    PostgresConnections = "postgres.connections", "16";
    PostgresPipeline = "postgres.pipeline", "8";
    PostgresTimeout = "postgres.timeout", "2s";
    PostgresQueue = "postgres.queue", "4096";
    SqliteThreads = "sqlite.threads", "auto";
    SqliteCache = "sqlite.cache", "64MiB";
    SqliteTimeout = "sqlite.timeout", "2s";
    SqliteQueue = "sqlite.queue", "4096";
    ComputeThreads = "compute.threads", "auto";
    ComputeQueue = "compute.queue", "1024";
    CacheEntries = "cache.entries", "65536";
    MemoryPages = "memory.pages", "huge";
    StatsFile = "stats.file", "";
    StatsEvery = "stats.every", "1s";
    MetricsListen = "metrics.listen", "127.0.0.1:9464";
    AdminName = "admin.name", "pollux";
    AdminDirectory = "admin.directory", "/run/pollux";
    LogLevel = "log.level", "info";
    LogFormat = "log.format", "text";
}

/// What a value is in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueType {
    /// A whole number.
    Number,
    /// `true` or `false`.
    Switch,
    /// Text, or a number without a unit.
    Text,
    /// Text, a number, or a list of them.
    List,
}

impl Key {
    /// What its value is in a file: what its default is.
    pub(super) fn value_type(self) -> ValueType {
        let default = self.default_text();
        if matches!(self, Self::CoresWorkers | Self::LimitsSourceUnlimited) {
            ValueType::List
        } else if default.parse::<u64>().is_ok() {
            ValueType::Number
        } else if default.parse::<bool>().is_ok() {
            ValueType::Switch
        } else {
            ValueType::Text
        }
    }

    /// The key with this `section.key`, if there is one.
    pub(crate) fn find(path: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|key| key.path() == path)
    }

    /// The key whose former path this is, if there is one.
    pub(crate) fn renamed(path: &str) -> Option<Self> {
        RENAMED.iter().find(|(old, _)| *old == path).map(|(_, key)| *key)
    }

    /// Whether a section of this name exists.
    pub(crate) fn is_section(name: &str) -> bool {
        Self::ALL.iter().any(|key| key.section() == name)
    }

    /// The key somebody who wrote `path` probably meant.
    pub(crate) fn nearest(path: &str) -> Option<Self> {
        nearest(path, Self::ALL.iter().map(|key| key.path())).and_then(Self::find)
    }

    /// Whether its value is shown in messages. That of `postgres.url` may hold a password.
    pub(crate) fn is_shown(self) -> bool {
        self != Self::PostgresUrl
    }

    /// The names in one section, for an error that lists them.
    pub(crate) fn names_in(section: &str) -> Vec<&'static str> {
        let prefix = format!("{section}.");
        Self::ALL.iter().filter_map(|key| key.path().strip_prefix(prefix.as_str())).collect()
    }

    /// All section names, each once.
    pub(crate) fn sections() -> Vec<&'static str> {
        let mut names: Vec<_> = Self::ALL.iter().map(|key| key.section()).collect();
        names.dedup();
        names
    }

    fn section(self) -> &'static str {
        self.path().split_once('.').map_or("", |(section, _)| section)
    }
}

/// Former paths of keys. They are refused, with the new path in the message.
pub(super) const RENAMED: &[(&str, Key)] = &[
    ("deadlines.answer", Key::DeadlinesResponse),
    ("limits.form", Key::LimitsRequestBuffer),
    ("sqlite.mmap", Key::SqliteCache),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_key_and_a_stranger_none() {
        assert_eq!(Key::nearest("limits.haed"), Some(Key::LimitsHead));
        assert_eq!(Key::nearest("listen.prot"), Some(Key::ListenPort));
        assert_eq!(Key::nearest("colour.of.the.sea"), None);
    }

    #[test]
    fn a_former_path_is_no_path_and_finds_its_key() {
        for (former, key) in RENAMED {
            assert_eq!((Key::find(former), Key::renamed(former)), (None, Some(*key)), "{former}");
        }
        assert_eq!(Key::renamed("limits.head"), None);
    }

    #[test]
    fn every_path_is_a_section_and_a_name_and_is_unique() {
        for key in Key::ALL {
            assert_eq!(key.path().matches('.').count(), 1, "{}", key.path());
            assert_eq!(Key::find(key.path()), Some(*key));
        }
        assert_eq!(Key::sections().len(), 16);
    }
}
