//! What the sample site says, worked out from its files alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testkit::Tool;

use super::binary::binary;

/// The files that `pollux sample` wrote.
#[derive(Debug)]
pub(crate) struct SampleSite {
    /// The directory.
    pub(crate) directory: PathBuf,
    /// Files of `static/`, siblings included, by name.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    items: Vec<Value>,
}

impl SampleSite {
    /// Has the binary write its sample below `scratch`, and reads it.
    pub(crate) fn write(scratch: &Path) -> Self {
        let directory = scratch.join("data");
        let (binary, target) = (binary(), directory.to_str().expect("a path in UTF-8"));
        Tool::new(60, binary.to_str().expect("a path in UTF-8"), &["sample", target]).text();
        let dataset = fs::read(directory.join("dataset.json")).expect("the sample has a data set");
        let items: Vec<Value> = serde_json::from_slice(&dataset).expect("an array");
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(directory.join("static")).expect("the sample has files") {
            let path = entry.expect("readable").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8").to_owned();
            files.insert(name, fs::read(&path).expect("readable"));
        }
        assert!(items.len() == 50 && files.len() > 20, "the sample is a whole site");
        Self { directory, files, items }
    }

    /// Names of files that are nobody's sibling.
    pub(crate) fn plain(&self) -> impl Iterator<Item = &str> {
        let sibling = |name: &str| name.ends_with(".br") || name.ends_with(".gz");
        self.files.keys().map(String::as_str).filter(move |name| !sibling(name))
    }

    /// What `/json/{count}?m={m}` says; `/json` is all items with one.
    pub(crate) fn json(&self, count: usize, m: i64) -> Value {
        let total = |item: &Value| {
            let number = |name: &str| item[name].as_i64().expect("the sample has integers");
            number("price") * number("quantity") * m
        };
        let items: Vec<Value> = self.items[..count]
            .iter()
            .map(|item| {
                let mut item = item.clone();
                let fields = item.as_object_mut().expect("an object");
                let total = json!(total(&Value::Object(fields.clone())));
                fields.insert("total".to_owned(), total);
                item
            })
            .collect();
        json!({ "items": items, "count": count })
    }

    /// How many items there are.
    pub(crate) fn items(&self) -> usize {
        self.items.len()
    }
}
