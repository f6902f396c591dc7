//! What sites are made from: files and data sets in memory.

use handlers::{Named, SourceFile};

/// A file without siblings.
pub(crate) fn file(name: &str, text: &str) -> SourceFile {
    SourceFile { name: name.into(), bytes: text.into(), modified_unix: 0, brotli: None, gzip: None }
}

/// A data set of this JSON text.
pub(crate) fn data(json: &str) -> Named<Vec<u8>> {
    Named { name: "/data/dataset.json".into(), value: json.into() }
}
