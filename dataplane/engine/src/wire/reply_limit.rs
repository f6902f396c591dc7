//! How many replies of a kind leave in a second where no connection bounds them.
//!
//! The number differs from second to second, drawn from a secret: who could count on it would learn from the
//! replies it gets itself how many others got, and so whether a connection of somebody else exists (the
//! attack of CVE-2016-5696 on a constant limit).

/// A limit on one kind of reply.
#[derive(Debug)]
pub(crate) struct ReplyLimit {
    /// Replies a second, on average.
    per_second: u32,
    /// Replies left in this second.
    left: u32,
    /// When this second ends, in microseconds.
    ends: u64,
    /// The generator's state (SplitMix64: Steele, Lea and Flood, 2014).
    random: u64,
}

impl ReplyLimit {
    /// A limit of `per_second` replies on average; each second allows between half and one and a half times
    /// as many, as `secret` decides.
    pub(crate) fn new(per_second: u32, secret: u64) -> Self {
        Self { per_second, left: 0, ends: 0, random: secret }
    }

    /// Takes one reply; `false`: this second has no more.
    pub(crate) fn try_take(&mut self, micros: u64) -> bool {
        if micros >= self.ends {
            self.begin_second(micros);
        }
        let is_allowed = self.left > 0;
        self.left -= u32::from(is_allowed);
        is_allowed
    }

    #[cold]
    fn begin_second(&mut self, micros: u64) {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let drawn = mixed % (u64::from(self.per_second) + 1);
        self.left = self.per_second / 2 + u32::try_from(drawn).unwrap_or(0);
        self.ends = micros + 1_000_000;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many replies each of the first hundred seconds allows.
    fn seconds(secret: u64) -> Vec<u32> {
        let mut limit = ReplyLimit::new(1_000, secret);
        (0..100)
            .map(|second| {
                let taken = (0..2_000).filter(|&at| limit.try_take(second * 1_000_000 + at));
                u32::try_from(taken.count()).expect("at most 2,000")
            })
            .collect()
    }

    #[test]
    fn a_second_allows_about_as_many_as_it_should_and_nobody_can_say_how_many() {
        let counts = seconds(7);
        assert!(counts.iter().all(|count| (500..=1_500).contains(count)), "{counts:?}");
        let mean = counts.iter().sum::<u32>() / 100;
        assert!((900..=1_100).contains(&mean), "{mean}");
        let mut different = counts.clone();
        different.sort_unstable();
        different.dedup();
        assert!(different.len() > 80, "{different:?}");
        assert_ne!(counts, seconds(8));
    }
}
