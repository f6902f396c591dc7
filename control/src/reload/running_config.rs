//! What a server was started with, and which of it a reload cannot change.
//!
//! A key takes effect at a reload ([`LIVE`], and every route and statement), or at a restart. Keys of
//! the second kind keep the value they have in the running process whatever the file says meanwhile:
//! the site is built for the limits that hold, and the reply names the keys that wait.

use std::time::Duration;

use crate::config::{Config, ConfigError, Effective, Key, Plan};
use crate::cores::HostCores;

/// The configuration that the process was started with.
#[derive(Debug)]
pub(crate) struct RunningConfig {
    config: Config,
    host: HostCores,
}

/// How much of another configuration the running process can take without a restart.
#[derive(Debug)]
pub(crate) struct Compatibility {
    /// What a site is to be made for.
    pub(crate) plan: Plan,
    /// The configuration that holds with it.
    pub(crate) effective: Effective,
    /// Keys whose new value takes effect at a restart.
    pub(crate) waiting: Vec<Key>,
}

impl RunningConfig {
    /// `config` is what was served first, on `host`.
    pub(crate) fn new(config: Config, host: HostCores) -> Self {
        Self { config, host }
    }

    /// The cores of the host.
    pub(crate) fn host(&self) -> &HostCores {
        &self.host
    }

    /// The configuration that was served first.
    ///
    /// # Panics
    /// If it cannot be served.
    pub(crate) fn effective(&self) -> Effective {
        let plan = Plan::check(&self.config, &self.host).expect("it is served");
        Effective::of(&self.config, &plan)
    }

    /// How long a reload may read.
    ///
    /// # Panics
    /// If the configuration cannot be served.
    pub(crate) fn reload_limit(&self) -> Duration {
        Plan::check(&self.config, &self.host).expect("it is served").reload
    }

    /// As much of `wanted` as takes effect without a restart.
    ///
    /// # Errors
    /// `wanted` is wrong, by itself or with the values that hold until a restart.
    pub(crate) fn compatibility(&self, wanted: &Config) -> Result<Compatibility, ConfigError> {
        Plan::check(wanted, &self.host)?;
        let mut running = wanted.clone();
        let mut differ = Vec::new();
        for key in Key::ALL.iter().copied().filter(|key| !LIVE.contains(key)) {
            let given = self.config.given(key);
            if given.text != wanted.given(key).text {
                differ.push(key);
            }
            running.set(key, given.text, given.place);
        }
        let plan = Plan::check(&running, &self.host)?;
        // 16KiB and 16384 are different texts, but the same plan.
        let matters = |key: &Key| {
            let mut alone = running.clone();
            let given = wanted.given(*key);
            alone.set(*key, given.text, given.place);
            !Plan::check(&alone, &self.host).is_ok_and(|alone| alone == plan)
        };
        let waiting = differ.into_iter().filter(matters).collect();
        let effective = Effective::of(&running, &plan);
        Ok(Compatibility { plan, effective, waiting })
    }
}

/// Keys whose value takes effect at a reload.
const LIVE: &[Key] =
    &[Key::DataDirectory, Key::FilesLinks, Key::FilesUnreadable, Key::FilesDotNames];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(text: &str) -> Config {
        Config::parse(Path::new("p.toml"), text).expect("is TOML")
    }

    fn host() -> HostCores {
        HostCores::of(vec![0, 1, 2, 3]).expect("not empty")
    }

    fn fit(before: &str, after: &str) -> Compatibility {
        RunningConfig::new(config(before), host()).compatibility(&config(after)).expect("fits")
    }

    fn waiting(before: &str, after: &str) -> Vec<&'static str> {
        fit(before, after).waiting.into_iter().map(Key::path).collect()
    }

    #[test]
    fn what_is_the_same_does_not_wait() {
        assert!(waiting("", "").is_empty());
        assert!(waiting("limits.head = 8192", "limits.head = \"8192\"").is_empty());
        assert!(waiting("", "listen.port = 8080").is_empty(), "said aloud, but the default");
        assert!(waiting("limits.head = \"8KiB\"", "limits.head = 8192").is_empty());
        assert!(waiting("cores.workers = \"1,2\"", "cores.workers = \"1-2\"").is_empty());
    }

    #[test]
    fn what_needs_a_restart_waits_and_the_rest_takes_effect() {
        let after = "data.directory = \"/b\"\nlisten.port = 81\n[limits]\nhead = \"8KiB\"\n";
        let Compatibility { plan, waiting, .. } = fit("data.directory = \"/a\"", after);
        assert_eq!(waiting, [Key::ListenPort, Key::LimitsHead]);
        assert_eq!(plan.data.as_deref(), Some(Path::new("/b")));
        assert_eq!(plan.port, 8080);
        assert_eq!(plan.limits.head_len_max, 16 << 10);
    }

    #[test]
    fn a_key_that_is_taken_out_waits_too() {
        assert_eq!(waiting("listen.port = 81", ""), ["listen.port"]);
    }

    #[test]
    fn keys_that_only_go_together_are_each_named() {
        let after = "[limits]\nreceive_buffer = \"8KiB\"\nhead = \"8KiB\"\n";
        assert_eq!(waiting("", after), ["limits.receive_buffer", "limits.head"]);
    }

    #[test]
    fn a_value_that_is_wrong_is_refused_whatever_it_waits_for() {
        let running = RunningConfig::new(config(""), host());
        let error =
            running.compatibility(&config("listen.port = 0")).expect_err("is refused").to_string();
        assert!(error.starts_with("p.toml:1: listen.port = \"0\""), "{error}");
    }
}
