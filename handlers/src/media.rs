//! Content-Type by the ending of a name (RFC 9110 8.3).

/// The media type of a file. Text kinds are UTF-8; unknown endings are opaque bytes.
pub fn media_type(name: &str) -> &'static str {
    let file = name.rsplit('/').next().unwrap_or(name);
    let ending = file.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
    match TYPES.binary_search_by(|(known, _)| (*known).cmp(&ending)) {
        Ok(at) => TYPES[at].1,
        Err(_) => "application/octet-stream",
    }
}

/// Whether bytes of this type are worth compressing: text, and formats that are not packed.
pub(crate) fn is_compressible(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.starts_with("text/")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || UNPACKED.contains(&essence.as_str())
}

/// Types that are not packed and do not say so.
const UNPACKED: &[&str] = &[
    "application/javascript",
    "application/json",
    "application/vnd.ms-fontobject",
    "application/wasm",
    "application/xml",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/vnd.microsoft.icon",
];

/// Endings in lower case, ascending.
const TYPES: &[(&str, &str)] = &[
    ("apng", "image/apng"),
    ("avif", "image/avif"),
    ("bmp", "image/bmp"),
    ("css", "text/css; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("eot", "application/vnd.ms-fontobject"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/vnd.microsoft.icon"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("map", "application/json"),
    ("md", "text/markdown; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("ogg", "audio/ogg"),
    ("otf", "font/otf"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("ttf", "font/ttf"),
    ("txt", "text/plain; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("wav", "audio/wav"),
    ("webm", "video/webm"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xml", "application/xml"),
    ("zip", "application/zip"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_searchable() {
        assert!(TYPES.is_sorted_by(|a, b| a.0 < b.0));
        for (ending, kind) in TYPES {
            assert_eq!(media_type(&format!("dir.d/a.{ending}")), *kind);
        }
    }

    #[test]
    fn what_is_packed_is_left_alone() {
        for kind in ["text/css; charset=utf-8", "image/svg+xml", "application/json", "font/ttf"] {
            assert!(is_compressible(kind), "{kind}");
        }
        for kind in ["image/png", "font/woff2", "application/zip", "application/octet-stream", ""] {
            assert!(!is_compressible(kind), "{kind}");
        }
    }

    #[test]
    fn only_the_last_ending_of_the_last_segment_counts() {
        assert_eq!(media_type("A.MIN.JS"), "text/javascript; charset=utf-8");
        assert_eq!(media_type("README"), "application/octet-stream");
        assert_eq!(media_type("site.css/data"), "application/octet-stream");
        assert_eq!(media_type("a.unknown"), "application/octet-stream");
        assert_eq!(media_type(".json"), "application/json");
    }
}
