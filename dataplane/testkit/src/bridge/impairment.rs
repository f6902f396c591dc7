//! What a direction of the bridge does to frames: the settings, and how a command line writes them.

use std::net::Ipv4Addr;
use std::str::FromStr;
use std::time::Duration;

/// Settings of one direction. Shares are in frames per million, as in the simulator.
///
/// They apply in this order: loss, the list of data segments, the MTU, the rate with its queue, corruption, duplication
/// (a copy follows its original and takes no room in the queue), delay. ARP is delayed and takes its share of the rate;
/// the rest spares it: a lost question costs a second that says nothing about TCP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Impairment {
    /// Least time under way, behind the queue of [`Rate`].
    pub delay: Duration,
    /// What is added to `delay`: evenly distributed from nothing to this, drawn for each frame.
    pub jitter: Duration,
    /// Whether a frame with little jitter may overtake one with more; otherwise it arrives right behind that.
    pub jitter_reorders: bool,
    /// Frames per million that are held back: those behind them overtake.
    pub reorder: u32,
    /// How long those are held back, beyond delay and jitter.
    pub reorder_by: Duration,
    /// Frames per million that are lost.
    pub loss: u32,
    /// Numbers of the TCP segments with data that are lost, on each connection: 1 is the first that passes after the
    /// SYN of this direction. What has passed before, in whole or in part, is a retransmission, has no number, and passes.
    pub lose_data: Vec<u32>,
    /// Frames per million that arrive twice.
    pub duplicate: u32,
    /// Frames per million of which a bit behind the Ethernet header arrives flipped, checksums as they were.
    pub corrupt: u32,
    /// TCP segments and UDP datagrams with data, per million, of which a bit of the data arrives flipped, with a checksum
    /// that says it is right.
    pub corrupt_mended: u32,
    /// How fast frames leave; as fast as they come where there is none.
    pub rate: Option<Rate>,
    /// Longest IP packet that passes; any where there is none.
    pub mtu: Option<Mtu>,
}

/// A slow line with a queue before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Bits a second, of frames from the Ethernet header to the last byte of the packet.
    pub bits_per_second: u64,
    /// Bytes of frames that may wait, the one that is being sent included. One that does not fit is lost (drop tail).
    pub queue: usize,
}

/// A hop whose MTU is less than that of the links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mtu {
    /// Bytes of the longest IP packet.
    pub bytes: u16,
    /// What a longer one with "don't fragment" set causes. One without it is fragmented (RFC 791 2.3).
    pub too_big: TooBig,
}

/// What becomes of an IPv4 packet that may not be fragmented and is too big; one of IPv6 is always swallowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooBig {
    /// Its sender is told by a router of this address: ICMP "fragmentation needed" (RFC 1191 4) with the MTU and the least
    /// quotation, the IP header and 8 bytes (RFC 792). The message passes the other direction as any frame.
    Icmp(Ipv4Addr),
    /// Nobody is told: a black hole.
    Swallow,
}

/// `KEY=VALUE,...`, each key at most once:
///
/// | key | value |
/// |---|---|
/// | `delay`, `jitter`, `reorder-by` | a time: `20ms`, `250us`, `1s` |
/// | `jitter-reorders` | `yes` or `no` |
/// | `loss`, `reorder`, `duplicate`, `corrupt`, `corrupt-mended` | a share of frames in percent: `0.1%` |
/// | `lose-data` | numbers and ranges, joined by `+`: `1-8+12` |
/// | `rate` | bits a second: `10M`, `500k`, `1G` |
/// | `queue` | bytes: `64k` is 65,536 |
/// | `mtu` | bytes |
/// | `icmp-from` | an IPv4 address; without it, what is too big is swallowed |
impl FromStr for Impairment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut settings = Self::default();
        let (mut bits_per_second, mut queue, mut mtu, mut router) = (None, None, None, None);
        let mut seen = Vec::new();
        for pair in text.split(',').filter(|pair| !pair.is_empty()) {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| format!("'{pair}' is not KEY=VALUE"))?;
            if seen.contains(&key) {
                return Err(format!("{key} is there twice: keep one"));
            }
            seen.push(key);
            let wants = |what: &str| format!("{key}={value}: wants {what}");
            let bad_time = || wants("a time such as 20ms, 250us or 1s");
            let bad_share = || wants("a share from 0% to 100% such as 0.1%");
            match key {
                "delay" => settings.delay = time(value).ok_or_else(bad_time)?,
                "jitter" => settings.jitter = time(value).ok_or_else(bad_time)?,
                "reorder-by" => settings.reorder_by = time(value).ok_or_else(bad_time)?,
                "jitter-reorders" => {
                    settings.jitter_reorders = yes(value).ok_or_else(|| wants("yes or no"))?;
                }
                "loss" => settings.loss = share(value).ok_or_else(bad_share)?,
                "reorder" => settings.reorder = share(value).ok_or_else(bad_share)?,
                "duplicate" => settings.duplicate = share(value).ok_or_else(bad_share)?,
                "corrupt" => settings.corrupt = share(value).ok_or_else(bad_share)?,
                "corrupt-mended" => settings.corrupt_mended = share(value).ok_or_else(bad_share)?,
                "lose-data" => {
                    let list = numbers(value);
                    settings.lose_data = list.ok_or_else(|| wants("numbers such as 1-8+12"))?;
                }
                "rate" => {
                    let bits = scaled(value, 1_000).filter(|&bits| bits > 0);
                    bits_per_second = Some(bits.ok_or_else(|| wants("bits a second such as 10M"))?);
                }
                "queue" => {
                    let bytes = scaled(value, 1_024).and_then(|bytes| bytes.try_into().ok());
                    queue = Some(bytes.ok_or_else(|| wants("bytes such as 64k"))?);
                }
                "mtu" => {
                    let bytes = value.parse().ok().filter(|&bytes| bytes >= MTU_MIN);
                    mtu = Some(bytes.ok_or_else(|| wants("bytes, from 68 to 65535"))?);
                }
                "icmp-from" => {
                    router = Some(value.parse().map_err(|_| wants("an IPv4 address"))?);
                }
                _ => return Err(format!("there is no key '{key}'; the keys are {KEYS}")),
            }
        }
        settings.rate = rate_of(bits_per_second, queue)?;
        settings.mtu = mtu_of(mtu, router)?;
        Ok(settings)
    }
}

fn rate_of(bits_per_second: Option<u64>, queue: Option<usize>) -> Result<Option<Rate>, String> {
    match (bits_per_second, queue) {
        (Some(bits_per_second), Some(queue)) => Ok(Some(Rate { bits_per_second, queue })),
        (None, None) => Ok(None),
        _ => Err("rate and queue: give both, or neither".into()),
    }
}

fn mtu_of(bytes: Option<u16>, router: Option<Ipv4Addr>) -> Result<Option<Mtu>, String> {
    match (bytes, router) {
        (Some(bytes), Some(router)) => Ok(Some(Mtu { bytes, too_big: TooBig::Icmp(router) })),
        (Some(bytes), None) => Ok(Some(Mtu { bytes, too_big: TooBig::Swallow })),
        (None, None) => Ok(None),
        (None, Some(_)) => Err("icmp-from: give mtu too".into()),
    }
}

const KEYS: &str = "delay, jitter, jitter-reorders, reorder, reorder-by, loss, lose-data, duplicate, corrupt, \
                    corrupt-mended, rate, queue, mtu, icmp-from";

/// Least MTU of an IPv4 link (RFC 791 3.2).
const MTU_MIN: u16 = 68;

fn time(value: &str) -> Option<Duration> {
    let units = [("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)];
    let (number, nanos) =
        units.iter().find_map(|(unit, nanos)| Some((value.strip_suffix(unit)?, *nanos)))?;
    let nanos = number.parse::<u64>().ok()?.checked_mul(nanos)?;
    Some(Duration::from_nanos(nanos))
}

/// Frames per million of a percentage with up to four digits behind the point.
fn share(value: &str) -> Option<u32> {
    let (whole, part) =
        value.strip_suffix('%').map(|text| text.split_once('.').unwrap_or((text, "")))?;
    if part.len() > 4 {
        return None;
    }
    let million = format!("{whole}{part:0<4}").parse().ok()?;
    (million <= 1_000_000).then_some(million)
}

fn yes(value: &str) -> Option<bool> {
    match value {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// A number with k, M or G behind it, powers of `base`.
fn scaled(value: &str, base: u64) -> Option<u64> {
    let power = ["k", "M", "G"].iter().position(|&unit| value.ends_with(unit));
    let (number, exponent) = match power {
        Some(power) => (&value[..value.len() - 1], u32::try_from(power).ok()? + 1),
        None => (value, 0),
    };
    number.parse::<u64>().ok()?.checked_mul(base.pow(exponent))
}

fn numbers(value: &str) -> Option<Vec<u32>> {
    let mut all = Vec::new();
    for item in value.split('+') {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
        if first == 0 || last < first || last > NUMBER_MAX {
            return None;
        }
        all.extend(first..=last);
    }
    all.sort_unstable();
    all.dedup();
    Some(all)
}

/// Greatest number in the list of segments to lose.
const NUMBER_MAX: u32 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_understood_with_its_unit() {
        let text = "delay=20ms,jitter=250us,jitter-reorders=yes,reorder=1%,reorder-by=1s,loss=0.1%,lose-data=1-3+8,\
                    duplicate=100%,corrupt=0.0001%,corrupt-mended=2.5%,rate=10M,queue=64k,mtu=1400,icmp-from=10.9.9.9";
        let settings = Impairment {
            delay: Duration::from_millis(20),
            jitter: Duration::from_micros(250),
            jitter_reorders: true,
            reorder: 10_000,
            reorder_by: Duration::from_secs(1),
            loss: 1_000,
            lose_data: vec![1, 2, 3, 8],
            duplicate: 1_000_000,
            corrupt: 1,
            corrupt_mended: 25_000,
            rate: Some(Rate { bits_per_second: 10_000_000, queue: 65_536 }),
            mtu: Some(Mtu { bytes: 1_400, too_big: TooBig::Icmp([10, 9, 9, 9].into()) }),
        };
        assert_eq!(text.parse(), Ok(settings));
        assert_eq!("".parse(), Ok(Impairment::default()));
        let swallow = Some(Mtu { bytes: 1_280, too_big: TooBig::Swallow });
        assert_eq!("mtu=1280".parse(), Ok(Impairment { mtu: swallow, ..Impairment::default() }));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_key() {
        for (text, names) in [
            ("delay", "'delay' is not KEY=VALUE"),
            ("delay=20", "delay=20: wants a time"),
            ("loss=101%", "loss=101%: wants a share"),
            ("loss=-1%", "loss=-1%: wants a share"),
            ("loss=1", "loss=1: wants a share"),
            ("loss=1.23456%", "loss=1.23456%: wants a share"),
            ("lose-data=0", "lose-data=0: wants numbers"),
            ("lose-data=5-3", "lose-data=5-3: wants numbers"),
            ("rate=0,queue=1k", "rate=0: wants bits"),
            ("rate=1M", "rate and queue: give both"),
            ("queue=1k", "rate and queue: give both"),
            ("mtu=67", "mtu=67: wants bytes"),
            ("icmp-from=10.0.0.1", "icmp-from: give mtu too"),
            ("mtu=1400,icmp-from=here", "icmp-from=here: wants an IPv4"),
            ("jitter-reorders=maybe", "jitter-reorders=maybe: wants yes or no"),
            ("loss=1%,loss=2%", "loss is there twice"),
            ("lag=1ms", "there is no key 'lag'; the keys are delay"),
        ] {
            let error = text.parse::<Impairment>().expect_err(text);
            assert!(error.starts_with(names), "{text}: {error}");
        }
    }
}
