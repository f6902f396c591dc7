//! How many connections one address may hold, and the networks without that limit.

use engine::{Network, SourceLimit};

use super::super::units;
use super::super::{ConfigError, Key};
use super::address::network;
use super::reader::Reader;
use super::{CONNECTIONS, share};

impl Reader<'_> {
    /// The share of each of `cores` cores, where all of them hold `connections`.
    pub(super) fn source_limit(
        &self,
        cores: usize,
        connections: usize,
    ) -> Result<SourceLimit, ConfigError> {
        let key = Key::LimitsConnectionsPerSource;
        let each = self.size(key, units::count, 0..=*CONNECTIONS.end())?;
        let each = self.at_most(key, each, Key::LimitsConnections, connections)?;
        Ok(SourceLimit {
            connections_max: share(each, cores),
            unlimited: self.networks(Key::LimitsUnlimitedSources)?,
        })
    }

    /// Networks, separated by commas; the empty text is none.
    fn networks(&self, key: Key) -> Result<Vec<Network>, ConfigError> {
        let text = self.0.given(key).text;
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let networks: Result<Vec<_>, _> = text.split(',').map(|one| network(one.trim())).collect();
        let networks = networks.map_err(|problem| self.refuse(key, problem, EXPECTED))?;
        if networks.len() > NETWORKS_MAX {
            let problem = format!("{} networks", networks.len());
            return Err(self.refuse(key, problem, format!("name at most {NETWORKS_MAX}")));
        }
        Ok(networks)
    }
}

/// Every SYN is compared with all of them.
const NETWORKS_MAX: usize = 64;

const EXPECTED: &str = "write IPv4 networks such as [\"10.0.0.0/8\", \"192.0.2.7/32\"]";
