//! Guard rails on what one request may cost.

/// Compile-time ceiling of [`Limits::fields_max`]: the parser keeps that many on its stack.
pub const FIELDS_MAX: usize = 100;

/// Limits on one request. Lengths in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Head, from the request line to the empty line, and separately all trailers: 431 beyond.
    /// The caller must be able to offer that many bytes contiguously, and one more to see the
    /// limit passed.
    pub head_len_max: usize,
    /// One line of a head without its CRLF: 414 for the request line, 431 for a field line.
    pub line_len_max: usize,
    /// Field lines of one head, at most [`FIELDS_MAX`]: 431 beyond.
    pub fields_max: usize,
    /// Content of one request, transfer coding removed: 413 beyond.
    pub body_len_max: u64,
    /// Chunk extensions of one request together (RFC 9112 7.1.1): 400 beyond.
    pub chunk_ext_len_max: u32,
}

impl Limits {
    /// The limits of a server that is not configured otherwise.
    pub const DEFAULT: Self = Self {
        head_len_max: 16 * 1024,
        line_len_max: 8 * 1024,
        fields_max: FIELDS_MAX,
        body_len_max: 32 * 1024 * 1024,
        chunk_ext_len_max: 16 * 1024,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Targets of this length are to be supported (RFC 9112 3, in bytes).
const TARGET_LEN_FLOOR: usize = 8000;
const _: () = assert!(
    Limits::DEFAULT.line_len_max >= TARGET_LEN_FLOOR + b"OPTIONS  HTTP/1.1".len(),
    "a target of 8,000 bytes must fit the request line"
);
const _: () = assert!(Limits::DEFAULT.line_len_max < Limits::DEFAULT.head_len_max);
