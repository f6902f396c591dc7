//! Accept-Encoding (RFC 9110 12.5.3): which content codings a client takes, and which it prefers.

use crate::list;

/// A content coding that a response may be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// None: the representation as it is.
    Identity,
    /// RFC 1952; `x-gzip` is the same (RFC 9110 8.4.1.3).
    Gzip,
    /// RFC 7932.
    Br,
}

impl Coding {
    /// Every coding, in the order of their discriminants from 0.
    pub const ALL: &[Self] = &[Self::Identity, Self::Gzip, Self::Br];

    /// The name as in Content-Encoding.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Br => "br",
        }
    }

    fn from_name(name: &[u8]) -> Option<Self> {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        match name.len() {
            2 if is("br") => Some(Self::Br),
            4 if is("gzip") => Some(Self::Gzip),
            6 if is("x-gzip") => Some(Self::Gzip),
            8 if is("identity") => Some(Self::Identity),
            _ => None,
        }
    }
}

/// How much a client wants each coding: 0 not at all, 1 at the very least, 1000 most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Indexed by [`Coding`].
    quality: [u16; 3],
}

impl Accepted {
    /// What a client takes that says nothing: by the standard anything, but only the plain form is
    /// sure to be understood.
    pub const IDENTITY_ONLY: Self = Self { quality: [QUALITY_MAX, 0, 0] };

    /// Reads the values of all Accept-Encoding lines of a request, in order. Without any line, or
    /// with empty ones, [`IDENTITY_ONLY`](Self::IDENTITY_ONLY). Malformed elements count as absent.
    pub fn from_values<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut named = [None; 3];
        let mut any = None;
        let mut is_empty = true;
        for element in values.into_iter().flat_map(list::elements) {
            is_empty = false;
            let Some((name, quality)) = parse_element(element) else { continue };
            match Coding::from_name(name) {
                Some(coding) => named[coding as usize] = Some(quality),
                None if name == b"*" => any = Some(quality),
                None => {}
            }
        }
        if is_empty {
            return Self::IDENTITY_ONLY;
        }
        //= RFC 9110 12.5.3: identity is acceptable unless excluded by name or by `*;q=0`.
        let identity = named[0].or(any).unwrap_or(QUALITY_LEAST);
        let others = any.unwrap_or(0);
        Self { quality: [identity, named[1].unwrap_or(others), named[2].unwrap_or(others)] }
    }

    /// The weight of `coding` in thousandths.
    pub fn quality(&self, coding: Coding) -> u16 {
        self.quality[coding as usize]
    }

    /// The best of `offers`, the first among equals. `None` if all are unacceptable.
    pub fn choose(&self, offers: &[Coding]) -> Option<Coding> {
        let mut best = None;
        let mut best_quality = 0;
        for &offer in offers {
            if self.quality(offer) > best_quality {
                (best, best_quality) = (Some(offer), self.quality(offer));
            }
        }
        best
    }
}

/// `codings [ OWS ";" OWS "q=" qvalue ]`
fn parse_element(element: &[u8]) -> Option<(&[u8], u16)> {
    let mut parts = element.split(|&b| b == b';').map(list::trim_ows);
    match (parts.next()?, parts.next(), parts.next()) {
        (name, None, None) => Some((name, QUALITY_MAX)),
        (name, Some([b'q' | b'Q', b'=', weight @ ..]), None) => Some((name, parse_qvalue(weight)?)),
        _ => None,
    }
}

/// `( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] )` in thousandths (RFC 9110 12.4.2).
fn parse_qvalue(weight: &[u8]) -> Option<u16> {
    let (whole, decimals) = match weight {
        [whole @ (b'0' | b'1')] => (whole, &[][..]),
        [whole @ (b'0' | b'1'), b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return None,
    };
    let mut quality = u16::from(whole - b'0');
    for place in 0..3 {
        let digit = *decimals.get(place).unwrap_or(&b'0');
        if !digit.is_ascii_digit() {
            return None;
        }
        quality = quality * 10 + u16::from(digit - b'0');
    }
    (quality <= QUALITY_MAX).then_some(quality)
}

const QUALITY_MAX: u16 = 1000;
const QUALITY_LEAST: u16 = 1;

#[cfg(test)]
mod tests {
    use super::{Accepted, Coding, parse_qvalue};

    const OFFERS: &[Coding] = &[Coding::Br, Coding::Gzip, Coding::Identity];

    fn choose(value: &str) -> Option<Coding> {
        Accepted::from_values([value.as_bytes()]).choose(OFFERS)
    }

    #[test]
    fn row_73_accept_encoding_chooses_the_coding() {
        for (value, want) in [
            ("gzip", Some(Coding::Gzip)),
            ("GZip", Some(Coding::Gzip)),
            ("x-gzip", Some(Coding::Gzip)),
            ("gzip, br", Some(Coding::Br)),
            ("gzip, deflate, br, zstd", Some(Coding::Br)),
            ("br;q=0.5, gzip;q=0.8", Some(Coding::Gzip)),
            ("br;q=0.001,gzip;q=0", Some(Coding::Br)),
            ("br ; Q=0.1 , gzip ; q=1.000", Some(Coding::Gzip)),
            ("identity;q=1, br;q=0.5", Some(Coding::Identity)),
            ("gzip;q=0", Some(Coding::Identity)),
            ("deflate", Some(Coding::Identity)),
            ("*", Some(Coding::Br)),
            ("*;q=0, gzip", Some(Coding::Gzip)),
            ("br;q=0, *", Some(Coding::Gzip)),
            ("identity;q=0, gzip;q=0.1", Some(Coding::Gzip)),
            ("identity;q=0", None),
            ("*;q=0", None),
            ("*;q=0, identity;q=0.2", Some(Coding::Identity)),
            ("", Some(Coding::Identity)),
            (" , ", Some(Coding::Identity)),
            ("gzip;q=2, br;x=1", Some(Coding::Identity)),
        ] {
            assert_eq!(choose(value), want, "{value:?}");
        }
    }

    #[test]
    fn lines_are_one_list() {
        let accepted = Accepted::from_values([&b"gzip;q=0.5"[..], b"br;q=0.7"]);
        assert_eq!((accepted.quality(Coding::Gzip), accepted.quality(Coding::Br)), (500, 700));
        assert_eq!(Accepted::from_values([]), Accepted::IDENTITY_ONLY);
    }

    #[test]
    fn only_what_is_offered_is_chosen() {
        let accepted = Accepted::from_values([&b"br"[..]]);
        assert_eq!(accepted.choose(&[Coding::Gzip, Coding::Identity]), Some(Coding::Identity));
        assert_eq!(accepted.choose(&[Coding::Gzip]), None);
        assert_eq!(accepted.choose(&[]), None);
    }

    #[test]
    fn weights_have_three_decimals_at_most() {
        for (weight, want) in [
            ("0", Some(0)),
            ("1", Some(1000)),
            ("0.", Some(0)),
            ("1.", Some(1000)),
            ("0.5", Some(500)),
            ("0.05", Some(50)),
            ("0.005", Some(5)),
            ("1.000", Some(1000)),
            ("1.001", None),
            ("0.0005", None),
            ("2", None),
            (".5", None),
            ("", None),
            ("-1", None),
            ("0.x", None),
        ] {
            assert_eq!(parse_qvalue(weight.as_bytes()), want, "{weight:?}");
        }
    }
}
