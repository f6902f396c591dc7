//! Routes as `pollux check` reads them: what it says of good ones, and of every mistake.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How a check ended.
struct Checked {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs `pollux check` with nothing of databases in the environment but `env`.
fn check(arguments: &[&str], env: &[(&str, &str)]) -> Checked {
    let output = Command::new(env!("CARGO_BIN_EXE_pollux"))
        .arg("check")
        .args(arguments)
        .env_remove("DATABASE_URL")
        .env_remove("DATABASE_MAX_CONN")
        .envs(env.iter().copied())
        .output()
        .expect("the binary under test runs");
    Checked {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

impl Checked {
    /// The table of routes, with one space between columns.
    fn table(&self) -> Vec<String> {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        let rows = self.stdout.lines().skip_while(|line| !line.contains("METHODS"));
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        rows.take_while(|line| line.starts_with("  ")).map(words).collect()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn deployed(name: &str) -> String {
    root().join("deploy").join(name).to_str().expect("UTF-8").to_owned()
}

/// A directory with a configuration in it, and its path.
fn configured(text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = directory.path().join("p.toml");
    fs::write(&file, text).expect("writable");
    let file = file.to_str().expect("UTF-8").to_owned();
    (directory, file)
}

#[test]
fn the_workload_is_a_configuration() {
    let checked = check(&["--config", &deployed("arena.toml")], &[]);
    let table = checked.table();
    assert_eq!(table.len(), 17, "{table:#?}");
    for row in [
        "METHODS PATH KIND CODINGS CACHE",
        "GET / fixed - -",
        "GET,POST /baseline11 sum - -",
        "POST /upload count - -",
        "GET /json/{count} dataset br,gzip -",
        "GET /static/ files as on disk public, max-age=300",
        "GET /db sqlite - -",
        "GET /crud/items/{id} postgres - 200ms, X-Cache",
        "PUT /crud/items/{id} postgres - -",
    ] {
        assert!(table.iter().any(|line| line == row), "lacks {row}: {table:#?}");
    }
    assert!(checked.stdout.contains("postgres no server: "), "{}", checked.stdout);
    assert_eq!(check(&[], &[]).table(), table, "it is what is served without a configuration");
}

#[test]
fn the_static_site_serves_a_directory() {
    let (data, _) = configured("");
    fs::write(data.path().join("index.html"), "<p>hello".repeat(100)).expect("writable");
    let directory = data.path().to_str().expect("UTF-8");
    let checked = check(&["--config", &deployed("site.toml"), "--data", directory], &[]);
    assert_eq!(
        checked.table(),
        [
            "METHODS PATH KIND CODINGS CACHE",
            "GET / files br,gzip public, max-age=300",
            "GET /home redirect - -",
            "GET /health fixed - -",
        ]
    );
    assert!(checked.stdout.contains(&format!("content  {directory}: 2 files, ")));
    assert!(!checked.stdout.contains("postgres"), "{}", checked.stdout);
}

#[test]
fn the_routes_of_the_example_hold() {
    let example = fs::read_to_string(root().join("control/pollux.example.toml")).expect("is there");
    let commented = example.lines().filter_map(|line| line.strip_prefix('#'));
    let routes: Vec<_> = commented.filter(|line| !line.starts_with(' ')).collect();
    let (directory, file) = configured(&routes.join("\n"));
    let data = directory.path().join("data");
    let data = data.to_str().expect("UTF-8");
    let sample = Command::new(env!("CARGO_BIN_EXE_pollux")).args(["sample", data]).output();
    assert!(sample.expect("the binary under test runs").status.success());
    fs::write(Path::new(data).join("openapi.json"), "{}").expect("writable");
    let table = check(&["--config", &file, "--data", data], &[]).table();
    assert_eq!(table.len(), 11, "{table:#?}");
    assert!(table.contains(&"GET /items sqlite br,gzip per request -".to_owned()), "{table:#?}");
}

#[test]
fn every_mistake_has_its_line() {
    let (directory, file) = configured(
        "[limits]\nhaed = 1\n\n\
         [statements]\none = \"SELECT id FROM items WHERE id = ?1\"\n\n\
         [[route]]\npath = \"/a\"\nkind = \"fixed\"\ntype = \"text/plain\"\nbdy = \"x\"\n\n\
         [[route]]\npath = \"/b\"\nkind = \"sum\"\nmethods = [\"get\"]\ndirectory = \"x\"\n\n\
         [[route]]\npath = \"no-slash\"\nkind = \"redirect\"\nto = \"/\"\n\n\
         [[route]]\npath = \"/c\"\nkind = \"files\"\ndirectory = \"nowhere\"\n\n\
         [[route]]\npath = \"/d\"\nkind = \"postgres\"\nstatement = \"onee\"\nrow = '{\"id\": id}'\n",
    );
    let data = directory.path().to_str().expect("UTF-8");
    let checked = check(&["--config", &file, "--data", data], &[]);
    assert_eq!(checked.code, Some(2));
    assert_eq!(checked.stdout, "");
    let lines: Vec<_> = checked.stderr.lines().map(|line| line.replace(&file, "FILE")).collect();
    let starts = [
        "pollux: FILE:2: unknown key limits.haed; did you mean limits.head?",
        "pollux: FILE:7: route.body: is missing; ",
        "pollux: FILE:11: unknown key route.bdy; did you mean route.body?",
        "pollux: FILE:16: route.methods = \"get\": no method that is answered; did you mean \"GET\"?",
        "pollux: FILE:17: route.directory = \"x\": a key of kind files; ",
        "pollux: FILE:20: route.path = \"no-slash\": does not begin with a slash; ",
        "pollux: FILE:27: route.directory = \"nowhere\": ",
        "pollux: FILE:32: route.statement = \"onee\": no such statement; did you mean \"one\"?",
    ];
    assert_eq!(lines.len(), starts.len(), "{lines:#?}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}\nis not {start}");
    }
}

#[test]
fn statements_are_tried_on_the_file() {
    let (_directory, file) = configured(
        "[statements]\none = \"SELECT id, nmae FROM items WHERE id = ?1\"\n\
         two = \"SELECT id FROM items WHERE id = ?1\"\nspare = \"SELECT 1\"\n\
         [[route]]\nkind = \"sqlite\"\npath = \"/1\"\ndatabase = \"benchmark.db\"\n\
         statement = \"one\"\narguments = [\"id\"]\nrow = '{\"id\": id}'\n\
         parameters = { id = { from = \"query\", type = \"integer\" } }\n\
         [[route]]\nkind = \"sqlite\"\npath = \"/2\"\ndatabase = \"benchmark.db\"\n\
         statement = \"two\"\narguments = [\"id\"]\nrow = '{\"id\": id, \"name\": name}'\n\
         parameters = { id = { from = \"query\", type = \"integer\" } }\n",
    );
    let checked = check(&["--config", &file], &[]);
    assert_eq!(checked.code, Some(2), "{}", checked.stdout);
    let lines: Vec<_> = checked.stderr.lines().map(|line| line.replace(&file, "FILE")).collect();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].starts_with("pollux: FILE:9: route.statement = \"one\": "), "{lines:#?}");
    assert!(lines[0].contains("nmae"), "{lines:#?}");
    assert!(lines[1].starts_with("pollux: FILE:17: route.statement = \"two\": "), "{lines:#?}");
    let text = fs::read_to_string(&file).expect("is there");
    fs::write(&file, text.replace("nmae", "name").replace(", \"name\": name", ""))
        .expect("writable");
    let checked = check(&["--config", &file], &[]);
    assert_eq!(checked.table().len(), 3);
    assert!(checked.stdout.contains("note     statements that no route names: spare"));
}

#[test]
fn the_environment_is_heeded_and_keeps_its_secret() {
    let url = [("DATABASE_URL", "postgres://bench:secret@127.0.0.1:9/arena")];
    let checked = check(&["--set", "postgres.connections=300"], &url);
    assert_eq!(checked.code, Some(0), "a server that is down is no mistake: {}", checked.stderr);
    assert!(
        checked
            .stdout
            .contains("postgres bench@127.0.0.1:9/arena, 300 connections, 8 queries each"),
        "{}",
        checked.stdout
    );
    let all = [url[0], ("DATABASE_MAX_CONN", "5")];
    assert!(check(&[], &all).stdout.contains("arena, 5 connections"));
    let bad = check(&[], &[("DATABASE_URL", "postgres://u:secret@host:port/db")]);
    assert_eq!(bad.code, Some(2));
    assert!(bad.stderr.starts_with("pollux: DATABASE_URL: postgres.url = \"(not shown)\": "));
    for said in [&checked, &bad] {
        assert!(
            !format!("{}{}", said.stdout, said.stderr).contains("secret"),
            "a password was shown"
        );
    }
    let bad = check(&[], &[("DATABASE_MAX_CONN", "0")]);
    assert_eq!(bad.code, Some(2));
    assert!(
        bad.stderr.starts_with("pollux: DATABASE_MAX_CONN: postgres.connections = \"0\": not a ")
    );
}
