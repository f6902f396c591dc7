//! Content codings (RFC 9110 8.4.1): what is offered, what is chosen, and the bytes.
//!
//! Efforts: [`best`] for what is made once, [`quick`] for hundreds of bodies that are made when a site is
//! built, [`Effort::Fast`] for tens of thousands, [`compress`] for one request. See README.md for the figures behind them.

use compress::{brotli, brotli_unless, gzip, gzip_unless};
use http1::coding::{Accepted, Coding};

use crate::build_progress::{BuildProgress, Cancelled};
use crate::error::SettingError;

/// The codings that a route answers in, in the order of preference among equals: those configured,
/// and identity last unless it is among them.
pub(crate) fn offers(codings: &[Coding]) -> Result<Box<[Coding]>, SettingError> {
    for (at, coding) in codings.iter().enumerate() {
        if codings[..at].contains(coding) {
            let problem = "the coding is there twice";
            return Err(SettingError::new("compress", coding.name(), problem, "leave one out"));
        }
    }
    let identity = (!codings.contains(&Coding::Identity)).then_some(Coding::Identity);
    Ok(codings.iter().copied().chain(identity).collect())
}

/// The coding of `offers` that a client prefers. One that takes none of them gets identity: better
/// the content than a 406 that says there is some (RFC 9110 12.5.3).
pub(crate) fn chosen(accepted: Accepted, offers: &[Coding]) -> Coding {
    accepted.choose(offers).unwrap_or(Coding::Identity)
}

/// What tells the tags of two codings apart (RFC 9110 8.8.3.3).
pub(crate) fn tag_ending(coding: Coding) -> &'static str {
    match coding {
        Coding::Identity => "",
        Coding::Gzip => "-gzip",
        Coding::Br => "-br",
    }
}

/// Near the smallest there is, for a body that is made once, unless `progress` is cancelled meanwhile.
pub(crate) fn best(
    coding: Coding,
    bytes: &[u8],
    progress: &BuildProgress,
) -> Result<Vec<u8>, Cancelled> {
    let quality = if bytes.len() <= BEST_LEN_MAX { BROTLI_BEST } else { BROTLI_GOOD };
    made(coding, bytes, (GZIP_BEST, quality), progress)
}

/// How much work is put into each of many bodies that are made once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// As [`best`].
    Best,
    /// As [`quick`].
    Quick,
    /// Less than half of the time of that, and a few hundredths more bytes.
    Fast,
}

impl Effort {
    /// What is worth it for bodies of so many bytes together: a start, or a reload, should not take minutes.
    pub(crate) fn for_bytes(together: usize) -> Self {
        match together {
            bytes if bytes <= BEST_TOGETHER_MAX => Self::Best,
            bytes if bytes <= QUICK_TOGETHER_MAX => Self::Quick,
            _ => Self::Fast,
        }
    }

    /// `bytes` in `coding`, where that makes them smaller.
    pub(crate) fn code(
        self,
        coding: Coding,
        bytes: &[u8],
        progress: &BuildProgress,
    ) -> Result<Option<Vec<u8>>, Cancelled> {
        let coded = match self {
            Self::Best => best(coding, bytes, progress),
            Self::Quick => quick(coding, bytes, progress),
            Self::Fast => made(coding, bytes, (GZIP_SHORT, BROTLI_FAST), progress),
        }?;
        Ok(Some(coded).filter(|coded| coded.len() < bytes.len()))
    }
}

/// Whether coding `bytes` is worth trying: there is something to gain, and the first of many shrink.
pub(crate) fn is_worth_coding(bytes: &[u8]) -> bool {
    match bytes.get(..TRIAL_LEN) {
        Some(first) if bytes.len() > 4 * TRIAL_LEN => {
            gzip(first, GZIP_TRIAL).len() < TRIAL_LEN * 9 / 10
        }
        _ => bytes.len() >= CODED_LEN_MIN,
    }
}

/// Small, for one of hundreds of bodies that are made at a start, unless `progress` is cancelled meanwhile.
pub(crate) fn quick(
    coding: Coding,
    bytes: &[u8],
    progress: &BuildProgress,
) -> Result<Vec<u8>, Cancelled> {
    made(coding, bytes, (GZIP_BEST, BROTLI_QUICK), progress)
}

/// Fast, for the body of one request: of a long one less is asked.
pub(crate) fn compress(coding: Coding, bytes: &[u8]) -> Vec<u8> {
    match bytes.len() {
        ..=SHORT_LEN_MAX => coded(coding, bytes, GZIP_SHORT, BROTLI_SHORT),
        _ => coded(coding, bytes, GZIP_LONG, BROTLI_LONG),
    }
}

fn made(
    coding: Coding,
    bytes: &[u8],
    (gzip_level, brotli_quality): (u32, i32),
    progress: &BuildProgress,
) -> Result<Vec<u8>, Cancelled> {
    let stop = || progress.is_cancelled();
    let made = match coding {
        Coding::Identity => Some(bytes.to_vec()),
        Coding::Gzip => gzip_unless(bytes, gzip_level, &stop),
        Coding::Br => brotli_unless(bytes, brotli_quality, &stop),
    };
    made.ok_or(Cancelled)
}

fn coded(coding: Coding, bytes: &[u8], gzip_level: u32, brotli_quality: i32) -> Vec<u8> {
    match coding {
        Coding::Identity => bytes.to_vec(),
        Coding::Gzip => gzip(bytes, gzip_level),
        Coding::Br => brotli(bytes, brotli_quality),
    }
}

const GZIP_BEST: u32 = 9;
const BROTLI_BEST: i32 = 11;
const BROTLI_GOOD: i32 = 9;
const BROTLI_QUICK: i32 = 6;
/// The fastest that looks into the static dictionary, which short bodies live on. From 5 on, 1 MiB of tables and more
/// is cleared for every body, however short.
const BROTLI_FAST: i32 = 2;
/// Beyond this length the best quality takes longer than a start, or a reload, should.
const BEST_LEN_MAX: usize = 16 * 1024;

/// Bytes that are coded with the best effort: a few seconds of one core.
const BEST_TOGETHER_MAX: usize = 4 * 1024 * 1024;
/// Bytes that are coded quickly: seconds of one core.
const QUICK_TOGETHER_MAX: usize = 64 * 1024 * 1024;
/// Fewer bytes share a segment with the head either way, and `Content-Encoding` and `Vary` take what is gained.
const CODED_LEN_MIN: usize = 256;
/// Bytes at the beginning of a long body that are tried first.
const TRIAL_LEN: usize = 4 * 1024;
/// The level below has no Huffman codes of its own, and finds nothing in digits, hexadecimal or base64.
const GZIP_TRIAL: u32 = 2;

const GZIP_SHORT: u32 = 6;
const BROTLI_SHORT: i32 = 5;
const GZIP_LONG: u32 = 3;
const BROTLI_LONG: i32 = 3;
const SHORT_LEN_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use compress::{brotli_matches, gzip_matches};

    use super::*;

    #[test]
    fn identity_is_always_offered_once() {
        use Coding::{Br, Gzip, Identity};
        for (codings, want) in [
            (&[][..], &[Identity][..]),
            (&[Br, Gzip], &[Br, Gzip, Identity]),
            (&[Identity, Gzip], &[Identity, Gzip]),
        ] {
            assert_eq!(*offers(codings).expect("each once"), *want);
        }
        assert_eq!(offers(&[Gzip, Gzip]).expect_err("twice").value, "gzip");
        let only_br = Accepted::from_values([&b"br, identity;q=0"[..]]);
        assert_eq!(chosen(only_br, &[Gzip, Identity]), Identity, "better than nothing");
        assert_eq!(chosen(only_br, &[Gzip, Br, Identity]), Br);
    }

    #[test]
    fn what_is_short_or_does_not_shrink_is_left_alone() {
        let text = "some words, and some words again; ".repeat(1000).into_bytes();
        let mut state = 1_u64;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        });
        let noise: Vec<u8> = noise.take(text.len()).collect();
        assert!(is_worth_coding(&text) && is_worth_coding(&text[..256]));
        assert!(!is_worth_coding(&text[..255]) && !is_worth_coding(b""));
        assert!(!is_worth_coding(&noise));
        let digits: Vec<u8> =
            noise.iter().map(|byte| b"0123456789abcdef"[usize::from(byte >> 4)]).collect();
        assert!(is_worth_coding(&digits), "half of each byte is saved, though nothing comes twice");
        let progress = BuildProgress::default();
        assert_eq!(Effort::Best.code(Coding::Gzip, &noise[..1000], &progress), Ok(None));
        assert!(
            Effort::Quick.code(Coding::Br, &text, &progress).is_ok_and(|coded| coded.is_some())
        );
        assert_eq!(Effort::for_bytes(4 << 20), Effort::Best);
        assert_eq!(Effort::for_bytes((4 << 20) + 1), Effort::Quick);
        assert_eq!(Effort::for_bytes(64 << 20), Effort::Quick);
        assert_eq!(Effort::for_bytes((64 << 20) + 1), Effort::Fast);
    }

    #[test]
    fn what_nobody_wants_any_more_is_not_coded_to_its_end() {
        let text = "some words, and some words again; ".repeat(1000).into_bytes();
        let progress = BuildProgress::default();
        progress.cancel();
        for coding in [Coding::Gzip, Coding::Br] {
            assert_eq!(best(coding, &text, &progress), Err(Cancelled));
            assert_eq!(Effort::Quick.code(coding, &text, &progress), Err(Cancelled));
        }
    }

    type Make<'a> = dyn Fn(Coding, &[u8]) -> Vec<u8> + 'a;

    #[test]
    fn every_effort_says_the_same() {
        let text = "some words, and some words again; ".repeat(5000).into_bytes();
        for bytes in [&text[..1000], &text] {
            let progress = BuildProgress::default();
            let best = |coding, bytes: &[u8]| best(coding, bytes, &progress).expect("is wanted");
            let quick = |coding, bytes: &[u8]| quick(coding, bytes, &progress).expect("is wanted");
            let fast = |coding, bytes: &[u8]| match coding {
                Coding::Identity => bytes.to_vec(),
                _ => Effort::Fast
                    .code(coding, bytes, &progress)
                    .expect("is wanted")
                    .expect("shrinks"),
            };
            let all: [&Make<'_>; 4] = [&best, &quick, &fast, &compress];
            for make in all {
                let (packed, squeezed) = (make(Coding::Gzip, bytes), make(Coding::Br, bytes));
                assert!(packed.len() * 4 < bytes.len() && squeezed.len() * 4 < bytes.len());
                assert_eq!(gzip_matches(&packed, bytes), Ok(()));
                assert_eq!(brotli_matches(&squeezed, bytes), Ok(()));
                assert_eq!(make(Coding::Identity, bytes), bytes);
            }
        }
    }
}
