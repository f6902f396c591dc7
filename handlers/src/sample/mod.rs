//! The sample site that the binary carries: what it serves when it was given no data, and what
//! `pollux sample DIR` writes.
//!
//! Made, not stored: everything grows from fixed seeds, so the same release makes the same bytes on
//! every machine. Shapes and sizes are those of a small web application.

mod items;
mod random;
mod text;

use crate::source::{Named, SourceFile};
pub use items::Item;
use random::Random;

/// `dataset.json`: 50 items.
pub fn dataset() -> Named<Vec<u8>> {
    data_set("dataset.json", 50)
}

/// `dataset-large.json`: 6,000 items of the same shape.
pub fn dataset_large() -> Named<Vec<u8>> {
    data_set("dataset-large.json", 6_000)
}

/// The rows of table `items` in both databases: 100,000.
pub fn rows() -> impl Iterator<Item = Item> {
    items::items("benchmark.db", 100_000)
}

/// 21 static files with their siblings, named from the static directory.
pub fn files() -> Vec<SourceFile> {
    let mut files: Vec<_> = FILES.iter().map(|file| source(file.name, file.make())).collect();
    files.push(source("index.html", INDEX.into()));
    files
}

/// What everything made is dated: 2026-01-01T00:00:00Z, since it has no time of its own.
pub const MODIFIED_UNIX: u64 = 1_767_225_600;

fn data_set(name: &str, count: u32) -> Named<Vec<u8>> {
    let value = items::dataset(items::items(name, count));
    Named { name: format!("sample {name}"), value }
}

fn source(name: &str, bytes: Vec<u8>) -> SourceFile {
    let text = !name.ends_with(".woff2") && !name.ends_with(".webp");
    SourceFile {
        name: name.into(),
        modified_unix: MODIFIED_UNIX,
        brotli: text.then(|| compress::brotli(&bytes, BROTLI_QUALITY)),
        gzip: text.then(|| compress::gzip(&bytes, GZIP_LEVEL)),
        bytes,
    }
}

/// A file to be made.
struct Spec {
    name: &'static str,
    kind: Kind,
    len: usize,
}

enum Kind {
    Css,
    Html,
    Icons,
    Manifest,
    Script,
    Font,
    Picture,
}

impl Spec {
    const fn new(name: &'static str, kind: Kind, len: usize) -> Self {
        Self { name, kind, len }
    }

    fn make(&self) -> Vec<u8> {
        let mut random = Random::named(self.name);
        match self.kind {
            Kind::Css => text::css(&mut random, self.len),
            Kind::Html => text::html(&mut random, self.len),
            Kind::Icons => text::icons(&mut random, self.len),
            Kind::Manifest => text::manifest(&mut random, self.len),
            Kind::Script => text::script(&mut random, self.len),
            Kind::Font => opaque(&mut random, b"wOF2", self.len),
            Kind::Picture => opaque(&mut random, b"RIFF", self.len),
        }
    }
}

/// Bytes that no coding makes smaller, like those of fonts and pictures.
fn opaque(random: &mut Random, magic: &[u8], len: usize) -> Vec<u8> {
    let mut bytes = magic.to_vec();
    while bytes.len() < len {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

const FILES: &[Spec] = &[
    Spec::new("analytics.js", Kind::Script, 12 * KIB),
    Spec::new("app.js", Kind::Script, 200 * KIB),
    Spec::new("bold.woff2", Kind::Font, 22 * KIB),
    Spec::new("components.css", Kind::Css, 200 * KIB),
    Spec::new("footer.html", Kind::Html, 55 * KIB),
    Spec::new("header.html", Kind::Html, 120 * KIB),
    Spec::new("helpers.js", Kind::Script, 22 * KIB),
    Spec::new("hero.webp", Kind::Picture, 45 * KIB),
    Spec::new("icon-sprite.svg", Kind::Icons, 70 * KIB),
    Spec::new("layout.css", Kind::Css, 25 * KIB),
    Spec::new("logo.svg", Kind::Icons, 15 * KIB),
    Spec::new("manifest.json", Kind::Manifest, 3 * KIB),
    Spec::new("regular.woff2", Kind::Font, 18 * KIB),
    Spec::new("reset.css", Kind::Css, 8 * KIB),
    Spec::new("router.js", Kind::Script, 35 * KIB),
    Spec::new("theme.css", Kind::Css, 18 * KIB),
    Spec::new("thumb1.webp", Kind::Picture, 8 * KIB),
    Spec::new("thumb2.webp", Kind::Picture, 6 * KIB),
    Spec::new("utilities.css", Kind::Css, 60 * KIB),
    Spec::new("vendor.js", Kind::Script, 300 * KIB),
];

const INDEX: &str = include_str!("index.html");
const KIB: usize = 1024;

/// The sample is made at every start without data: near the best sizes, a fraction of the time.
const BROTLI_QUALITY: i32 = 5;
const GZIP_LEVEL: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::hash;

    #[test]
    fn the_sample_is_the_same_everywhere() {
        let mut print = hash(&dataset().value);
        for file in &files() {
            print = print.rotate_left(1) ^ hash(file.name.as_bytes()) ^ hash(&file.bytes);
        }
        assert_eq!(format!("{print:016x}"), "5d00646cb6ff6aa9");
        let rows: String = rows().map(|row| format!("{row:?}\n")).collect();
        let prints = [dataset_large().value, rows.into_bytes()].map(|made| hash(&made));
        assert_eq!(
            prints.map(|print| format!("{print:016x}")),
            ["6483fe0fa440387a", "204021cad7bd9834"]
        );
    }

    #[test]
    fn data_sets_have_their_sizes() {
        for (data_set, count) in [(dataset(), 50), (dataset_large(), 6_000)] {
            let items: Vec<serde_json::Value> =
                serde_json::from_slice(&data_set.value).expect("a JSON array");
            assert_eq!(items.len(), count, "{}", data_set.name);
        }
        assert_eq!(rows().count(), 100_000);
        assert_eq!(rows().last().map(|row| row.id), Some(100_000));
    }

    #[test]
    fn files_have_their_sizes_and_text_packs_well() {
        let files = files();
        assert_eq!(files.len(), FILES.len() + 1);
        for (spec, file) in FILES.iter().zip(&files) {
            assert_eq!((spec.name, spec.len), (file.name.as_str(), file.bytes.len()));
            if let (Some(brotli), Some(gzip)) = (&file.brotli, &file.gzip) {
                assert!(file.bytes.is_ascii(), "{}", file.name);
                assert!(gzip.len() * 2 < file.bytes.len(), "{}", file.name);
                assert!(brotli.len() * 2 < file.bytes.len(), "{}", file.name);
            }
        }
    }
}
