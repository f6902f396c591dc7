//! Removes the framing of a request body (RFC 9112 6, 7.1), byte by byte resumable.

use crate::head::is_token_byte;
use crate::{Limits, Reject};

/// What is left of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// Bytes still to come.
    Length(u64),
    Chunked(Chunks),
}

/// What one step took from the input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    /// Bytes of input taken, framing included.
    pub(crate) taken: usize,
    /// Content among them; perhaps empty.
    pub(crate) content: &'a [u8],
    /// Nothing of the body follows.
    pub(crate) is_last: bool,
}

impl Body {
    /// Takes from `input` up to and including one run of content. Without content, either all of
    /// `input` was taken or the body has ended.
    pub(crate) fn take<'a>(
        &mut self,
        input: &'a [u8],
        limits: &Limits,
    ) -> Result<Piece<'a>, Reject> {
        match self {
            Self::Length(left) => {
                let content = clip(input, *left);
                *left -= content.len() as u64;
                Ok(Piece { taken: content.len(), content, is_last: *left == 0 })
            }
            Self::Chunked(chunks) => chunks.take(input, limits),
        }
    }
}

/// Decoder of the chunked coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunks {
    part: Part,
    /// Content announced so far, in bytes.
    announced: u64,
    /// Bytes of chunk extensions so far.
    ext_len: u32,
    /// Bytes of trailers so far.
    trailer_len: usize,
}

/// Where in the grammar of RFC 9112 7.1 the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Size {
        size: u64,
        digits: u8,
    },
    /// Whitespace after the size, legal before `;` only (BWS).
    SizeSpace {
        size: u64,
    },
    Ext {
        size: u64,
        part: ExtPart,
    },
    SizeLf {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    LastLf,
    End,
}

/// Where in a chunk extension the next byte stands:
/// `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )` (RFC 9112 7.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ExtPart {
    /// Before a name.
    NameStart,
    Name,
    /// Whitespace after a name, legal before `=` and `;` only (BWS).
    NameSpace,
    ValueStart,
    Token,
    Quoted,
    /// After a backslash within quotes (RFC 9110 5.6.4).
    Escaped,
    QuotedEnd,
}

impl Chunks {
    pub(crate) const START: Self =
        Self { part: Part::FIRST, announced: 0, ext_len: 0, trailer_len: 0 };

    fn take<'a>(&mut self, input: &'a [u8], limits: &Limits) -> Result<Piece<'a>, Reject> {
        // Kept out of `self` between bytes: the loop is then about registers.
        let mut part = self.part;
        for (at, &byte) in input.iter().enumerate() {
            if let Part::Data { left } = part {
                let content = clip(&input[at..], left);
                self.part = match left - content.len() as u64 {
                    0 => Part::DataCr,
                    left => Part::Data { left },
                };
                return Ok(Piece { taken: at + content.len(), content, is_last: false });
            }
            part = part.after(byte)?;
            self.charge(part, limits)?;
            if part == Part::End {
                self.part = part;
                return Ok(Piece { taken: at + 1, content: &[], is_last: true });
            }
        }
        self.part = part;
        Ok(Piece { taken: input.len(), content: &[], is_last: false })
    }

    /// Holds what the byte leading to `next` costs against the limits.
    fn charge(&mut self, next: Part, limits: &Limits) -> Result<(), Reject> {
        match next {
            Part::Ext { .. } | Part::SizeSpace { .. } => {
                self.ext_len += 1;
                if self.ext_len > limits.chunk_ext_len_max {
                    return Err(Reject::ChunkExtTooLong);
                }
            }
            Part::SizeLf { size } => {
                self.announced = self.announced.saturating_add(size);
                if self.announced > limits.body_len_max {
                    return Err(Reject::BodyTooLarge);
                }
            }
            Part::TrailerName | Part::TrailerValue => {
                self.trailer_len += 1;
                if self.trailer_len > limits.head_len_max {
                    return Err(Reject::TrailersTooLong);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Part {
    const FIRST: Self = Self::Size { size: 0, digits: 0 };

    /// The part after `byte`. Trailers are checked and thrown away: nothing in them can change
    /// framing, routing or authority (RFC 9110 6.5.1).
    fn after(self, byte: u8) -> Result<Self, Reject> {
        let next = match (self, byte) {
            (Self::Size { digits: 1.., size }, b'\r') => Self::SizeLf { size },
            (Self::Size { digits: 1.., size } | Self::SizeSpace { size }, b';') => {
                Self::Ext { size, part: ExtPart::NameStart }
            }
            (Self::Size { digits: 1.., size }, b' ' | b'\t') => Self::SizeSpace { size },
            (Self::Size { size, digits }, _) => match hex_digit(byte) {
                Some(digit) if digits < SIZE_DIGITS_MAX => {
                    Self::Size { size: size << 4 | digit, digits: digits + 1 }
                }
                _ => return Err(Reject::BadChunk),
            },
            (Self::SizeSpace { size }, b' ' | b'\t') => Self::SizeSpace { size },
            (Self::Ext { size, part }, _) => part.after(byte, size).ok_or(Reject::BadChunk)?,
            (Self::SizeLf { size: 0 }, b'\n') => Self::TrailerStart,
            (Self::SizeLf { size }, b'\n') => Self::Data { left: size },
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::FIRST,
            (Self::TrailerStart, b'\r') => Self::LastLf,
            (Self::TrailerStart | Self::TrailerName, _) if is_token_byte(byte) => Self::TrailerName,
            (Self::TrailerName, b':') => Self::TrailerValue,
            (Self::TrailerValue, b'\r') => Self::TrailerLf,
            (Self::TrailerValue, _) if is_text(byte) => Self::TrailerValue,
            (Self::TrailerLf, b'\n') => Self::TrailerStart,
            (Self::LastLf, b'\n') => Self::End,
            (part, _) => return Err(part.reject()),
        };
        Ok(next)
    }

    fn reject(self) -> Reject {
        match self {
            Self::TrailerStart
            | Self::TrailerName
            | Self::TrailerValue
            | Self::TrailerLf
            | Self::LastLf => Reject::BadTrailer,
            _ => Reject::BadChunk,
        }
    }
}

impl ExtPart {
    /// The part of the body after `byte` of an extension of a chunk of `size` bytes; none: no
    /// extension has it there.
    #[cold]
    fn after(self, byte: u8, size: u64) -> Option<Part> {
        let part = match (self, byte) {
            (Self::Name | Self::Token | Self::QuotedEnd, b'\r') => {
                return Some(Part::SizeLf { size });
            }
            (Self::Name | Self::NameSpace | Self::Token | Self::QuotedEnd, b';') => Self::NameStart,
            // The space after a value is that after a size: only another extension may follow.
            (Self::Token | Self::QuotedEnd, b' ' | b'\t') => {
                return Some(Part::SizeSpace { size });
            }
            (Self::NameStart | Self::ValueStart | Self::NameSpace, b' ' | b'\t') => self,
            (Self::Name, b' ' | b'\t') => Self::NameSpace,
            (Self::Name | Self::NameSpace, b'=') => Self::ValueStart,
            (Self::NameStart | Self::Name, _) if is_token_byte(byte) => Self::Name,
            (Self::ValueStart, b'"') => Self::Quoted,
            (Self::ValueStart | Self::Token, _) if is_token_byte(byte) => Self::Token,
            (Self::Quoted, b'"') => Self::QuotedEnd,
            (Self::Quoted, b'\\') => Self::Escaped,
            (Self::Quoted | Self::Escaped, _) if is_text(byte) => Self::Quoted,
            _ => return None,
        };
        Some(Part::Ext { size, part })
    }
}

/// What a field value or a quoted string may hold: no control but HTAB.
fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

fn hex_digit(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

/// The first `len` bytes of `input`, or all.
fn clip(input: &[u8], len: u64) -> &[u8] {
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    &input[..input.len().min(len)]
}

/// Sixteen hexadecimal digits fill a u64; leading zeros count.
const SIZE_DIGITS_MAX: u8 = 16;

#[cfg(test)]
mod tests {
    use std::format;
    use std::vec::Vec;

    use super::{Body, Chunks};
    use crate::{Limits, Reject};

    /// Takes all of `wire`, given `step` bytes at a time: the content, and how much follows it.
    fn read(mut body: Body, wire: &[u8], step: usize) -> Result<(Vec<u8>, usize), Reject> {
        let mut content = Vec::new();
        let mut at = 0;
        loop {
            let given = &wire[at..wire.len().min(at + step)];
            let piece = body.take(given, &Limits::DEFAULT)?;
            assert!(piece.taken <= given.len());
            assert!(piece.is_last || piece.taken > 0 || given.is_empty(), "no progress");
            content.extend(piece.content);
            at += piece.taken;
            if piece.is_last {
                return Ok((content, wire.len() - at));
            }
            assert!(at < wire.len(), "a whole body is not whole");
        }
    }

    #[test]
    fn large_chunks_are_content_in_one_piece() {
        let data: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        let mut wire = format!("{:x}\r\n", data.len()).into_bytes();
        wire.extend(&data);
        wire.extend(b"\r\n0\r\n\r\nnext");
        for step in [1, 2, 7, 1460, usize::MAX / 2] {
            let start = Body::Chunked(Chunks::START);
            assert_eq!(read(start, &wire, step), Ok((data.clone(), 4)), "step {step}");
        }
        let mut body = Body::Chunked(Chunks::START);
        let piece = body.take(&wire, &Limits::DEFAULT).unwrap();
        assert_eq!((piece.taken, piece.content.len()), (100_007, 100_000));
    }

    #[test]
    fn a_length_takes_no_byte_more() {
        for step in [1, 3, 100] {
            assert_eq!(read(Body::Length(5), b"hellonext", step), Ok((b"hello".to_vec(), 4)));
        }
    }
}
