use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use handlers::SourceFile;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;
use crate::config::{Config, DotNames, FilesPlan, Links, Unreadable};
use crate::progress::Progress;

const RULES: FilesPlan = FilesPlan {
    links: Links::Within,
    unreadable: Unreadable::Refuse,
    dot_names: DotNames::These(Vec::new()),
};

fn read_with(path: &Path, rules: &FilesPlan) -> Result<Directory, DataError> {
    directory(path, rules, &Progress::default())
}

fn read(path: &Path) -> Result<Vec<SourceFile>, DataError> {
    read_with(path, &RULES).map(|found| found.files)
}

fn names(files: &[SourceFile]) -> Vec<&str> {
    files.iter().map(|file| file.name.as_str()).collect()
}

/// What `read` comes to; a panic if it waits for somebody.
fn at_once<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, outcome) = mpsc::channel();
    thread::spawn(move || done.send(read()));
    outcome.recv_timeout(Duration::from_secs(10)).expect("nobody is waited for")
}

fn site(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("temporary directory");
    for (name, bytes) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().expect("has a parent")).expect("writable");
        fs::write(path, bytes).expect("writable");
    }
    directory
}

#[test]
fn siblings_find_their_file_and_are_files_themselves() {
    let site = site(&[
        ("app.js", b"js"),
        ("app.js.br", b"brotli"),
        ("app.js.gz", b"gzip"),
        ("pack.tar.gz", b"tar"),
        ("deep/er/a.txt", b"a"),
        (".hidden", b"h"),
    ]);
    let files = read(site.path()).expect("reads");
    assert_eq!(names(&files), ["app.js", "app.js.br", "app.js.gz", "deep/er/a.txt", "pack.tar.gz"]);
    assert_eq!(files[0].bytes, b"js");
    assert_eq!(files[0].brotli.as_deref(), Some(b"brotli".as_slice()));
    assert_eq!(files[0].gzip.as_deref(), Some(b"gzip".as_slice()));
    assert_eq!(
        (files[1].bytes.as_slice(), files[2].bytes.as_slice()),
        (&b"brotli"[..], &b"gzip"[..])
    );
    assert_eq!((&files[2].gzip, files[4].bytes.as_slice()), (&None, &b"tar"[..]));
}

#[test]
fn what_is_missing_is_named_with_what_was_expected() {
    let empty = tempfile::tempdir().expect("temporary directory");
    let at = empty.path().display();
    let error = file(&empty.path().join("a.json"), "a JSON array").expect_err("no file");
    assert_eq!(
        error.to_string(),
        format!("{at}/a.json: expected a JSON array, found No such file or directory (os error 2)")
    );
    assert_eq!(error.fix(), "put it there, or name another");
    let error = read(&empty.path().join("static")).expect_err("no directory").to_string();
    assert!(
        error.starts_with(&format!("{at}/static: expected a directory of files to serve, ")),
        "{error}"
    );
    let error = has_file(empty.path(), "a database").expect_err("is a directory");
    assert!(error.to_string().contains("expected a database, found a directory"), "{error}");
    assert_eq!(error.fix(), "name a regular file");
}

#[test]
fn a_dangling_link_and_a_loop_are_errors() {
    let site = site(&[]);
    let link = site.path().join("away");
    symlink("nonexistent", &link).expect("link");
    let error = read(site.path()).expect_err("dangles").to_string();
    assert!(error.contains("away: expected a file to serve, found No such"), "{error}");
    fs::remove_file(&link).expect("removable");
    symlink(".", &link).expect("link");
    let error = read(site.path()).expect_err("loops");
    let text = error.to_string();
    assert!(text.contains("expected at most 16 directories below each other"), "{text}");
    assert!(error.fix().starts_with("is there a symbolic link to a parent?"), "{}", error.fix());
}

#[test]
fn times_are_not_in_the_future() {
    let site = site(&[("a.txt", b"a")]);
    let file = fs::File::open(site.path().join("a.txt")).expect("is there");
    let future = SystemTime::now() + Duration::from_secs(86_400);
    file.set_modified(future).expect("settable");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let files = read(site.path()).expect("reads");
    assert!(files[0].modified_unix <= now + 1);
}

#[test]
fn what_is_no_file_is_refused_at_once() {
    let site = site(&[("a.txt", b"a")]);
    let fifo = site.path().join("pipe");
    mkfifo(&fifo, Mode::S_IRWXU).expect("makes a FIFO");
    let (at, named) = (site.path().to_owned(), fifo.clone());
    let error = at_once(move || read(&at)).expect_err("no file").to_string();
    assert_eq!(error, format!("{}: expected a file to serve, found a FIFO", fifo.display()));
    let error = at_once(move || {
        (file(&named, "JSON"), has_file(&named, "a database"), Config::read(&named))
    });
    let (json, database, config) = error;
    for error in [json.expect_err("no file").to_string(), database.expect_err("none").to_string()] {
        assert!(error.ends_with(", found a FIFO"), "{error}");
    }
    let config = config.expect_err("no file").to_string();
    assert!(config.contains("pipe: cannot be read: it is a FIFO, and no regular file"), "{config}");
    fs::remove_file(&fifo).expect("removable");
    let _socket = UnixListener::bind(&fifo).expect("binds");
    let error = read(site.path()).expect_err("no file");
    assert!(error.to_string().ends_with("found a socket"), "{error}");
    assert!(error.fix().contains("set files.unreadable = \"skip\""), "{}", error.fix());
}

#[test]
fn links_stay_within_the_directory_unless_they_may_lead_out() {
    let outside = site(&[("secret.txt", b"s"), ("d/more.txt", b"m")]);
    let inside = site(&[("..data/a.txt", b"a")]);
    let link = |target: &Path, name: &str| symlink(target, inside.path().join(name));
    link(Path::new("..data/a.txt"), "a.txt").expect("links");
    assert_eq!(names(&read(inside.path()).expect("it stays within")), ["a.txt"]);
    let out = |target: &Path| {
        link(target, "out").expect("links");
        let error = read(inside.path()).expect_err("it leads out");
        assert!(matches!(error, DataError::Outside { .. }), "{error}");
        assert!(
            error.to_string().ends_with("out: a symbolic link out of the directory"),
            "{error}"
        );
        let skipping = FilesPlan { unreadable: Unreadable::Skip, ..RULES };
        let found = read_with(inside.path(), &skipping).expect("the other is served");
        let left_out = LeftOut { skipped: 1, links: 1, hidden: 1 };
        assert_eq!((names(&found.files), found.left_out), (vec!["a.txt"], left_out));
        fs::remove_file(inside.path().join("out")).expect("removable");
    };
    out(&outside.path().join("secret.txt"));
    out(outside.path());
    out(Path::new("/dev/zero"));
    out(Path::new("../../etc/passwd"));
    link(outside.path(), "out").expect("links");
    let following = FilesPlan { links: Links::Follow, ..RULES };
    let found = read_with(inside.path(), &following).expect("it may");
    assert_eq!(names(&found.files), ["a.txt", "out/d/more.txt", "out/secret.txt"]);
    link(Path::new("/dev/zero"), "zero").expect("links");
    let error = read_with(inside.path(), &following).expect_err("a device is no file").to_string();
    assert!(error.ends_with("zero: expected a file to serve, found a device"), "{error}");
}

#[test]
fn what_cannot_be_served_is_skipped_where_that_is_wanted() {
    let site = site(&[("a.txt", b"a"), ("d/b.txt", b"b")]);
    symlink("/nonexistent", site.path().join("dangles")).expect("links");
    symlink("nothing", site.path().join("d/dangles")).expect("links");
    symlink(".", site.path().join("d/loop")).expect("links");
    mkfifo(&site.path().join("d/pipe"), Mode::S_IRWXU).expect("makes a FIFO");
    let skipping = FilesPlan { unreadable: Unreadable::Skip, ..RULES };
    let at = site.path().to_owned();
    let found = at_once(move || read_with(&at, &skipping)).expect("the others are served");
    assert_eq!(names(&found.files), ["a.txt", "d/b.txt"]);
    // The absolute link would lead out, were there anything at its end.
    assert_eq!(found.left_out, LeftOut { skipped: 4, links: 1, hidden: 0 });
    let skipping = FilesPlan { unreadable: Unreadable::Skip, ..RULES };
    let error = read_with(&site.path().join("none"), &skipping).expect_err("nothing is there");
    assert!(matches!(error, DataError::Unreadable { .. }), "{error}");
}

#[test]
fn names_that_begin_with_a_dot_are_served_as_configured() {
    let site = site(&[
        (".well-known/security.txt", b"s"),
        (".git/config", b"g"),
        ("d/.well-known", b"w"),
        ("a.txt", b"a"),
    ]);
    let served = |dot_names| {
        let found = read_with(site.path(), &FilesPlan { dot_names, ..RULES }).expect("reads");
        found.files.into_iter().map(|file| file.name).collect::<Vec<_>>()
    };
    assert_eq!(served(DotNames::These(Vec::new())), ["a.txt"]);
    let these = DotNames::These(vec![".well-known".into()]);
    assert_eq!(served(these), [".well-known/security.txt", "a.txt", "d/.well-known"]);
    assert_eq!(served(DotNames::All).len(), 4);
}

#[test]
fn nobody_goes_on_for_those_who_gave_up() {
    let site = site(&[("a.txt", b"a")]);
    let progress = Progress::default();
    progress.give_up();
    let error = directory(site.path(), &RULES, &progress).expect_err("nobody waits");
    assert!(matches!(error, DataError::GivenUp), "{error}");
}

#[test]
fn a_database_is_looked_at_without_being_opened() {
    let site = site(&[("a.db", b"")]);
    let path = site.path().join("a.db");
    has_file(&path, "a database").expect("is there");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o0)).expect("settable");
    let denied = |error: &DataError| match error {
        DataError::Unreadable { error, .. } => error.kind() == ErrorKind::PermissionDenied,
        _ => false,
    };
    // Root may read everything.
    let checked = has_file(&path, "a database");
    assert!(
        checked.as_ref().map_or_else(denied, |()| nix::unistd::geteuid().is_root()),
        "{checked:?}"
    );
}
