//! Why the protocol refuses a request: always the peer's fault, always with a status.

use crate::Status;

/// Declares the reasons once: enum, list, names and statuses cannot disagree.
macro_rules! rejects {
    ($($(#[$doc:meta])+ $variant:ident $name:literal $status:ident,)+) => {
        /// A reason to refuse a request. The connection ends with the response to it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reject {
            $($(#[$doc])+ $variant,)+
        }

        impl Reject {
            /// Every reason, in the order of their discriminants from 0.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Name of the counter of this reason, in snake case.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Status it is answered with.
            pub const fn status(self) -> Status {
                match self {
                    $(Self::$variant => Status::$status,)+
                }
            }
        }
    };
}

rejects! {
    /// A line ends in LF alone (RFC 9112 2.2).
    BareLf "bare_lf" S400,
    /// CR not followed by LF (RFC 9112 2.2).
    BareCr "bare_cr" S400,
    /// A control in the head, or anything but visible ASCII and SP in the request line
    /// (RFC 9110 5.5, RFC 9112 3).
    BadByte "bad_byte" S400,
    /// More empty lines before the request line than any client sends.
    BlankLines "blank_lines" S400,
    /// Not `method SP target SP version` (RFC 9112 3).
    BadRequestLine "bad_request_line" S400,
    /// The version is not `HTTP/` DIGIT `.` DIGIT, or is missing (RFC 9112 2.3).
    BadVersion "bad_version" S400,
    /// A major version other than 1 (RFC 9110 15.6.6).
    UnsupportedVersion "unsupported_version" S505,
    /// A method unknown to this server, CONNECT and TRACE among them (RFC 9110 15.6.2).
    UnknownMethod "unknown_method" S501,
    /// A target in no form that fits its method (RFC 9112 3.2).
    BadTarget "bad_target" S400,
    /// The request line is longer than the limit (RFC 9112 3).
    TargetTooLong "target_too_long" S414,
    /// A field line starts with whitespace: obs-fold, or before the first (RFC 9112 2.2, 5.2).
    FoldedField "folded_field" S400,
    /// A field name is empty, no token, or not followed by a colon at once (RFC 9112 5.1).
    BadFieldName "bad_field_name" S400,
    /// A field line is longer than the limit (RFC 6585 5).
    FieldTooLong "field_too_long" S431,
    /// More field lines than the limit (RFC 6585 5).
    TooManyFields "too_many_fields" S431,
    /// The head is longer than the limit (RFC 6585 5).
    HeadTooLong "head_too_long" S431,
    /// HTTP/1.1 without Host (RFC 9112 3.2).
    HostMissing "host_missing" S400,
    /// More than one Host line (RFC 9112 3.2).
    HostRepeated "host_repeated" S400,
    /// Host is no `uri-host [":" port]` (RFC 9110 7.2).
    BadHost "bad_host" S400,
    /// Content-Length is no plain decimal number of at most 64 bits, or is repeated (RFC 9112 6.3).
    BadLength "bad_length" S400,
    /// Transfer-Encoding with Content-Length: a smuggling risk (RFC 9112 6.1).
    LengthAndCoding "length_and_coding" S400,
    /// Chunked is not the last coding, is applied twice, or has parameters (RFC 9112 6.3, 7).
    BadCoding "bad_coding" S400,
    /// Transfer-Encoding in HTTP/1.0 (RFC 9112 6.1).
    CodingInHttp10 "coding_in_http10" S400,
    /// A transfer coding unknown to this server (RFC 9112 6.1).
    UnknownCoding "unknown_coding" S501,
    /// An expectation other than `100-continue` (RFC 9110 10.1.1).
    UnknownExpectation "unknown_expectation" S417,
    /// The content is longer than the limit (RFC 9110 15.5.14).
    BodyTooLarge "body_too_large" S413,
    /// A chunk-size line, its extensions among it, or the CRLF after chunk data breaks the grammar
    /// (RFC 9112 7.1).
    BadChunk "bad_chunk" S400,
    /// Chunk extensions are longer than the limit (RFC 9112 7.1.1).
    ChunkExtTooLong "chunk_ext_too_long" S400,
    /// A trailer line breaks the grammar (RFC 9112 7.1.2).
    BadTrailer "bad_trailer" S400,
    /// The trailers are longer than the limit (RFC 6585 5).
    TrailersTooLong "trailers_too_long" S431,
    /// The peer closed its side in the middle of a head (RFC 9112 8).
    HeadCutShort "head_cut_short" S400,
    /// The peer closed its side in the middle of a body (RFC 9112 8).
    BodyCutShort "body_cut_short" S400,
    /// The head did not arrive in time (RFC 9110 15.5.9).
    HeadTimeout "head_timeout" S408,
    /// The body did not arrive in time (RFC 9110 15.5.9).
    BodyTimeout "body_timeout" S408,
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::Reject;

    #[test]
    fn names_are_unique_snake_case() {
        let names: HashSet<_> = Reject::ALL.iter().map(|reject| reject.name()).collect();
        assert_eq!(names.len(), Reject::ALL.len());
        for name in names {
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            );
        }
    }

    #[test]
    fn list_is_indexed_by_discriminant() {
        for (index, reject) in Reject::ALL.iter().enumerate() {
            assert_eq!(*reject as usize, index);
            assert!(reject.status().class() >= 4, "{reject:?} is not answered with an error");
        }
    }
}
