//! Material that cannot be a site, and memory that cannot hold one.

use handlers::{BuildError, Bytes, Material, Named, Site, SourceFile};

fn file(name: &str) -> SourceFile {
    SourceFile {
        name: name.into(),
        bytes: b"some text".to_vec(),
        modified_unix: 0,
        brotli: None,
        gzip: None,
    }
}

fn material(dataset: &str, files: Vec<SourceFile>) -> Material {
    let dataset = Named { name: "/data/dataset.json".into(), value: dataset.into() };
    Material { dataset, files }
}

fn vec_of(size: usize) -> Box<dyn Bytes> {
    Box::new(vec![0_u8; size])
}

fn message(material: &Material) -> String {
    Site::build(material, vec_of).expect_err("unsound material").to_string()
}

const ONE: &str = r#"[{"price":1,"quantity":1}]"#;

#[test]
fn a_fault_of_the_data_set_is_located() {
    assert_eq!(
        message(&material("[\n{\"price\":1,\n\"quantity\":}]", Vec::new())),
        "/data/dataset.json: line 3, column 12: expected JSON, found expected value"
    );
    assert_eq!(
        message(&material(
            r#"[{"price":1,"quantity":1},{"price":"abc","quantity":1}]"#,
            Vec::new()
        )),
        r#"/data/dataset.json: item 2: key "price": expected a number, found "abc""#
    );
}

#[test]
fn a_file_name_must_be_a_path() {
    let long = "x".repeat(1017);
    for (name, fault) in [
        ("", "expected segments separated by one slash each, found an empty one"),
        ("/a", "expected segments separated by one slash each, found an empty one"),
        ("a//b", "expected segments separated by one slash each, found an empty one"),
        ("a/", "expected segments separated by one slash each, found an empty one"),
        ("../a", "expected a path below the static directory, found a dot segment"),
        ("a/./b", "expected a path below the static directory, found a dot segment"),
        ("a\\b", "expected no control character and no backslash, found one"),
        ("a\0", "expected no control character and no backslash, found one"),
        (&long, "expected at most 1016 octets, found 1017"),
    ] {
        let expected = format!("static file \"{name}\": {fault}");
        assert_eq!(message(&material(ONE, vec![file(name)])), expected);
    }
    assert_eq!(
        message(&material(ONE, vec![file("a"), file("b"), file("a")])),
        "static file \"a\": expected each name once, found it twice"
    );
}

#[test]
fn a_stale_sibling_is_found_out() {
    let mut stale = file("a.css");
    stale.gzip = Some(b"not gzip at all".to_vec());
    assert_eq!(
        message(&material(ONE, vec![stale])),
        "static file \"a.css\": expected its .gz sibling to unpack to the same octets, \
         found no such stream"
    );
    let mut stale = file("a.css");
    let mut squeezed = Vec::new();
    brotli::BrotliCompress(&mut &b"some news"[..], &mut squeezed, &Default::default()).expect("br");
    stale.brotli = Some(squeezed);
    assert_eq!(
        message(&material(ONE, vec![stale])),
        "static file \"a.css\": expected its .br sibling to unpack to the same octets, \
         found a difference at octet 5"
    );
}

#[test]
fn memory_is_asked_for_once_at_its_size() {
    let mut asked = Vec::new();
    let sound = material(ONE, vec![file("a.css")]);
    Site::build(&sound, |size| {
        asked.push(size);
        vec_of(size)
    })
    .expect("sound material");
    assert_eq!(asked.len(), 1);
    let error = Site::build(&sound, |size| vec_of(size - 1)).expect_err("too little");
    assert_eq!(error, BuildError::Memory { expected: asked[0], found: asked[0] - 1 });
    Site::build(&sound, |size| vec_of(size + 4096)).expect("more than asked for is fine");
}

#[test]
fn a_site_is_shared_between_cores() {
    fn shared<T: Send + Sync>() {}
    shared::<Site>();
}
