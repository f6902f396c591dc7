use std::fs;
use std::path::Path;

use super::*;
use crate::config::Config;
use crate::cores::HostCores;

/// A plan with these routes and this data directory.
fn plan(text: &str, data: Option<&Path>) -> Plan {
    let config = Config::parse(Path::new("p.toml"), text).expect("is TOML");
    let host = HostCores::of(vec![0]).expect("not empty");
    let mut plan = Plan::check(&config, &host).expect("is a plan");
    plan.data = data.map(Path::to_owned);
    plan
}

fn rehearse(text: &str, data: &Path) -> Result<Content, ContentError> {
    Content::check(&plan(text, Some(data)), &Sample::default())
}

fn refusals(text: &str, data: &Path) -> Vec<String> {
    let error = rehearse(text, data).expect_err("is refused");
    let at = data.display().to_string();
    error.to_string().lines().map(|line| line.replace(&at, "DATA")).collect()
}

fn data(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("temporary directory");
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().expect("has a parent")).expect("writable");
        fs::write(path, text).expect("writable");
    }
    directory
}

const FILES: &str = "[[route]]\nkind = \"files\"\npath = \"/\"\ndirectory = \".\"\n";

#[test]
fn without_anything_the_workload_is_served_from_the_sample() {
    let sample = Sample::default();
    let content = Content::check(&plan("", None), &sample).expect("is served");
    assert_eq!(content.source, "the built-in sample");
    assert_eq!((content.routes, content.files), (16, 53));
    assert!(content.bytes > 1 << 20, "{} bytes", content.bytes);
    let databases: Vec<_> =
        content.site.queries().map(|(_, query)| query.database().clone()).collect();
    let [Database::Sqlite(file), rest @ ..] = databases.as_slice() else { panic!("{databases:?}") };
    assert!(file.is_file(), "it stays as long as the sample");
    assert_eq!(rest, vec![Database::Postgres; 5]);
}

#[test]
fn files_are_read_from_the_data_directory_or_from_the_root() {
    let outside = data(&[("note.txt", "outside")]);
    let inside = data(&[("index.html", "<p>"), ("d/a.txt", "a")]);
    let note = outside.path().join("note.txt");
    let fixed = format!(
        "[[route]]\nkind = \"fixed\"\npath = \"/note\"\nfile = {:?}\n",
        note.to_str().expect("UTF-8")
    );
    let text = format!("{FILES}{fixed}");
    let before = rehearse(&text, inside.path()).expect("is served");
    assert_eq!((before.routes, before.files), (2, 2));
    assert_eq!(before.source, inside.path().display().to_string());
    fs::write(inside.path().join("new.txt"), "n".repeat(5_000)).expect("writable");
    let after = rehearse(&text, inside.path()).expect("is served again");
    assert_eq!(after.files, 3, "what is on disk now");
    assert!(after.bytes >= before.bytes + 5_000);
}

#[test]
fn everything_that_is_missing_is_told_with_its_line() {
    let empty = data(&[]);
    let text = "[statements]\ns = \"SELECT 1 AS a\"\n\
                [[route]]\nkind = \"files\"\npath = \"/s/\"\ndirectory = \"static\"\n\
                [[route]]\nkind = \"fixed\"\npath = \"/f\"\nfile = \"f.txt\"\n\
                [[route]]\nkind = \"dataset\"\npath = \"/d\"\nfile = \"d.json\"\n\
                [[route]]\nkind = \"sqlite\"\npath = \"/q\"\ndatabase = \"b.db\"\n\
                statement = \"s\"\nrow = '{\"a\": a}'\n";
    let lines = refusals(text, empty.path());
    let none = "found No such file or directory (os error 2); put it there, or name another; `pollux \
                sample DIR` writes an example";
    assert_eq!(
        lines,
        [
            format!(
                "p.toml:6: route.directory = \"static\": DATA/static: expected a directory of files to serve, {none}"
            ),
            format!(
                "p.toml:10: route.file = \"f.txt\": DATA/f.txt: expected a file to serve, {none}"
            ),
            format!(
                "p.toml:14: route.file = \"d.json\": DATA/d.json: expected a file with a JSON array of items, {none}"
            ),
            format!(
                "p.toml:18: route.database = \"b.db\": DATA/b.db: expected an SQLite file, {none}"
            ),
        ]
    );
    let error = Content::check(&plan(&text.replace("static", "public"), None), &Sample::default());
    let error = error.expect_err("the sample has no such files").to_string();
    assert!(error.contains("without --data there is the built-in sample alone"), "{error}");
}

#[test]
fn everything_that_makes_no_sense_is_told_with_its_line() {
    let data = data(&[("d.json", "[{\"price\": 1}]"), ("bad.json", "[\n{\"price\":}\n]")]);
    let text = "[statements]\ns = \"SELECT $1 AS a\"\n\
                [[route]]\nkind = \"redirect\"\npath = \"no-slash\"\nto = \"/\"\n\
                [[route]]\nkind = \"dataset\"\npath = \"/d\"\nfile = \"d.json\"\n\
                computed = { total = \"price ** 2\" }\n\
                [[route]]\nkind = \"postgres\"\npath = \"/q\"\nname = \"q\"\nstatement = \"s\"\n\
                row = '{\"a\": a'\narguments = [\"x\"]\ncache = \"1s\"\n\
                [route.parameters]\nx = { from = \"query\", type = \"integer\" }\n\
                [[route]]\nkind = \"postgres\"\npath = \"/q\"\nmethods = [\"POST\"]\n\
                statement = \"s\"\nrow = '{\"a\": a}'\narguments = [\"y\"]\ninvalidates = [\"q\"]\n\
                [route.parameters]\nx = { from = \"query\", type = \"integer\" }\n\
                [[route]]\nkind = \"dataset\"\npath = \"/b1\"\nfile = \"bad.json\"\n\
                [[route]]\nkind = \"dataset\"\npath = \"/b2\"\nfile = \"bad.json\"\n\
                [[route]]\nkind = \"dataset\"\npath = \"/k\"\nfile = \"d.json\"\n\
                computed = { total = \"prise * price\" }\n\
                [[route]]\nkind = \"sum\"\npath = \"/good\"\n";
    let lines = refusals(text, data.path());
    let starts = [
        "p.toml:5: route.path = \"no-slash\": ",
        "p.toml:11: route.computed.total = \"price ** 2\": ",
        "p.toml:17: route.row = '{\"a\": a': ",
        "p.toml:28: route.arguments = [\"y\"]: y: no parameter is called this; ",
        "p.toml:35: route.file = \"bad.json\": DATA/bad.json: line 2, column ",
        "p.toml:44: route.computed.total = \"prise * price\": DATA/d.json: item 1: key \"prise\": ",
    ];
    assert_eq!(lines.len(), starts.len(), "{lines:#?}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}\nis not {start}");
    }
}

#[test]
fn routes_with_mistakes_are_not_missed_by_others() {
    let text = "[statements]\ns = \"SELECT $1 AS a\"\n\
                [[route]]\nkind = \"postgres\"\npath = \"/q\"\nname = \"q\"\ncache = \"1s\"\n\
                [[route]]\nkind = \"postgres\"\npath = \"/w\"\nmethods = [\"POST\"]\n\
                statement = \"s\"\nrow = '{\"a\": a}'\narguments = [\"x\"]\ninvalidates = [\"q\"]\n\
                parameters = { x = { from = \"query\", type = \"integer\" } }\n";
    let config = Config::parse(Path::new("p.toml"), text).expect("is TOML");
    let host = HostCores::of(vec![0]).expect("not empty");
    let (plan, mistakes) = Plan::survey(&config, &host);
    assert_eq!(mistakes.len(), 2, "no statement, no row: {mistakes:?}");
    let content = Content::check(&plan, &Sample::default());
    assert_eq!(content.expect("the other route is good").routes, 1);
}

#[test]
fn a_file_that_cannot_be_served_is_told_with_its_directory() {
    let data = data(&[("a.txt", "a"), ("a.txt.gz", "no gzip")]);
    let lines = refusals(FILES, data.path());
    assert_eq!(lines.len(), 1, "{lines:?}");
    let start = "p.toml:4: route.directory = \".\": file \"a.txt\": expected its .gz sibling to ";
    assert!(lines[0].starts_with(start), "{lines:?}");
}
