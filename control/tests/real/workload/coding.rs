//! Who is to get which content coding.

/// Accept-Encoding, and the coding of what both can be had in.
//= RFC 9110 12.5.3: a weight of 0 excludes; what is not named is under `*`, or not acceptable but as
//= identity; where nothing is acceptable, a server may answer without a coding.
pub(crate) const CHOICES: &[(&str, &str)] = &[
    ("gzip", "gzip"),
    ("br", "br"),
    ("gzip, br", "br"),
    ("gzip, deflate, br, zstd", "br"),
    ("deflate, gzip", "gzip"),
    ("gzip;q=1.0, br;q=0.5", "gzip"),
    ("gzip;q=0.2, br;q=0.8", "br"),
    ("gzip;q=0.002,br;q=0.001", "gzip"),
    ("gzip ; q=0.5 , br ; q=0.9", "br"),
    ("br;q=0, gzip", "gzip"),
    ("br;q=0.000, gzip;q=0.0", "identity"),
    ("GZIP", "gzip"),
    ("x-gzip", "gzip"),
    ("identity", "identity"),
    ("identity, gzip;q=0.5", "identity"),
    ("identity;q=0.5, gzip", "gzip"),
    ("identity;q=0, gzip", "gzip"),
    ("identity;q=0, br;q=0.001", "br"),
    ("identity;q=0", "identity"),
    ("*", "br"),
    ("*;q=0.5, br;q=0", "gzip"),
    ("gzip;q=0.1, *;q=0.9", "br"),
    ("identity;q=0, *", "br"),
    ("*;q=0", "identity"),
    ("*;q=0, gzip", "gzip"),
    ("deflate, zstd", "identity"),
    ("gzip;q=2", "identity"),
    ("gzip;level=9", "identity"),
    ("", "identity"),
];
