//! The routes that hold without a configuration, through `curl`, over each kernel link, with one and
//! two workers. What they say in every case is in `arena.rs`.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use testkit::{APPLIANCE, Client, Kind, PORT, Rig, RigPlan, Tool};

use crate::kit::{Curl, SampleSite, ServerPlan, Shown};
use crate::workload::{Shop, Table, difference, media_type};

#[test]
fn af_xdp_with_one_worker() {
    serves(Kind::Veth, "af_xdp:pollux0", "1");
}

#[test]
fn af_xdp_with_two_workers() {
    serves(Kind::Veth, "af_xdp:pollux0", "0,1");
}

#[test]
fn af_packet_with_one_worker() {
    serves(Kind::Veth, "af_packet:pollux0", "1");
}

#[test]
fn af_packet_with_two_workers() {
    serves(Kind::Veth, "af_packet:pollux0", "0,1");
}

#[test]
fn tap_with_one_worker() {
    serves(Kind::Tap, "tap:pollux-host", "1");
}

#[test]
fn tap_with_two_workers() {
    serves(Kind::Tap, "tap:pollux-host", "0,1");
}

fn serves(kind: Kind, link: &str, cores: &str) {
    Rig::run(RigPlan { kind, ..RigPlan::VETH }, |rig| {
        let shop = Shop::write(rig.scratch.path());
        let site = &shop.site;
        let data = shop.directory();
        let server = ServerPlan::new(link, cores).with(&["--data", data]).serve(rig);
        answers_below_tcp();
        short_answers();
        sums();
        json(site);
        static_files(site);
        conditions(site);
        ranges(site);
        uploads(rig);
        databases(&shop);
        refusals();
        date();
        let workers = cores.split(',').count();
        assert_eq!(server.stats().each("requests").len(), workers);
        let stopped = server.stop(rig);
        assert!(stopped.stats.total("echo_replies") >= 4, "pings are counted");
        assert!(stopped.stats.total("arp_replies") >= 2, "ARP replies are counted");
        let answered = stopped.stats.total("requests");
        println!("{link} cores {cores}: {answered} requests, losses {:?}", stopped.stats.losses());
        assert_eq!(
            stopped.stats.total("responses_5xx"),
            2,
            "the method that nobody knows, and what needs PostgreSQL"
        );
    });
}

fn answers_below_tcp() {
    let address = APPLIANCE.to_string();
    let ping = |size: &str| {
        Tool::new(10, "ping", &["-c", "2", "-i", "0.1", "-W", "2", "-s", size, &address]).text()
    };
    for size in ["56", "1400"] {
        let said = ping(size);
        assert!(said.contains(" 0% packet loss"), "ping with {size} bytes: {said}");
    }
    let said = Tool::new(10, "arping", &["-c", "2", "-I", "pollux-host", &address]).text();
    assert!(said.contains(&address), "arping: {said}");
}

fn short_answers() {
    let plain = |shown: Shown| shown.status(200).has("Content-Type", "text/plain");
    plain(Curl::get("/pipeline").ask()).body("ok");
    plain(Curl::get("/pipeline").with(&["--http1.0"]).ask()).body("ok").has("Connection", "close");
    let head = plain(Curl::head("/pipeline").ask());
    head.has("Content-Length", "2").body("");
}

fn sums() {
    for (query, sum) in [
        ("a=13&b=42", "55"),
        ("a=-5&b=3", "-2"),
        ("a=1&b=x&c=2.5", "1"),
        ("", "0"),
        ("a=9223372036854775807&b=1", "9223372036854775808"),
    ] {
        let got = Curl::get(&format!("/baseline11?{query}")).ask().status(200).body(sum);
        got.has("Content-Type", "text/plain").has("Content-Length", &sum.len().to_string());
        Curl::get(&format!("/baseline2?{query}")).ask().status(200).body(sum);
    }
    for (body, sum) in [("20", "75"), (" 20\n", "75"), ("-56", "-1"), ("twenty", "55"), ("", "55")]
    {
        let post = Curl::post("/baseline11?a=13&b=42", body);
        post.clone().ask().status(200).body(sum);
        post.field("Transfer-Encoding", "chunked").ask().status(200).body(sum);
    }
}

fn json(site: &SampleSite) {
    let is_json = |shown: Shown, expected: &Value| {
        let shown = shown.status(200).has("Content-Type", "application/json");
        let shown = shown.lacks("Content-Encoding");
        let got: Value = serde_json::from_slice(&shown.answer.body).expect("JSON");
        assert_eq!(&got, expected, "{}", shown.what);
        shown
    };
    let all = site.json(site.items(), 1);
    is_json(Curl::get("/json").ask(), &all).has("Vary", "Accept-Encoding");
    for (count, m) in
        [(1, 1), (1, 3), (7, 2), (15, 5), (40, 8), (50, 6), (50, 1), (3, -4), (2, 1000)]
    {
        let path = format!("/json/{count}?m={m}");
        is_json(Curl::get(&path).ask(), &site.json(count, m));
    }
    is_json(Curl::get("/json/5").ask(), &site.json(5, 1));
    for coding in ["gzip", "br"] {
        for (path, expected) in [("/json", &all), ("/json/25?m=4", &site.json(25, 4))] {
            let coded = Curl::get(path).field("Accept-Encoding", coding).ask().status(200);
            let coded = coded.has("Content-Encoding", coding).has("Vary", "Accept-Encoding");
            let plain = Curl::get(path).decoded(coding);
            assert!(coded.answer.body.len() < plain.len(), "{path} is smaller in {coding}");
            let got: Value = serde_json::from_slice(&plain).expect("JSON");
            assert_eq!(&got, expected, "{path} in {coding}");
        }
    }
    for path in ["/json/0", "/json/51", "/json/x", "/json/"] {
        Curl::get(path).ask().status(404);
    }
}

fn static_files(site: &SampleSite) {
    Curl::get("/").ask().status(200).has("Content-Type", "text/plain");
    for name in site.plain() {
        let path = format!("/static/{name}");
        let whole = Curl::get(&path).ask().status(200).body(&site.files[name]);
        let whole = whole.has("Content-Type", media_type(name)).lacks("Content-Encoding");
        let mut tags = vec![whole.value("ETag")];
        for (coding, ending) in [("br", ".br"), ("gzip", ".gz")] {
            let Some(sibling) = site.files.get(&format!("{name}{ending}")) else { continue };
            let coded = Curl::get(&path).field("Accept-Encoding", coding).ask().status(200);
            let coded = coded.body(sibling).has("Content-Encoding", coding);
            let coded = coded.has("Vary", "Accept-Encoding");
            tags.push(coded.has("Content-Type", media_type(name)).value("ETag"));
            assert_eq!(whole.value("Vary"), "Accept-Encoding", "{path}");
        }
        let count = tags.len();
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), count, "{path}: each coding has a tag of its own");
    }
}

fn conditions(site: &SampleSite) {
    let path = "/static/app.js";
    let whole = Curl::get(path).ask().status(200);
    let (tag, modified) = (whole.value("ETag"), whole.value("Last-Modified"));
    for (name, value) in [
        ("If-None-Match", tag.as_str()),
        ("If-None-Match", &format!("\"other\", W/{tag}")),
        ("If-None-Match", "*"),
        ("If-Modified-Since", &modified),
    ] {
        let kept = Curl::get(path).field(name, value).ask().status(304).body("");
        kept.has("ETag", &tag).has("Vary", "Accept-Encoding").lacks("Content-Type");
    }
    let body = &site.files["app.js"];
    Curl::get(path).field("If-None-Match", "\"other\"").ask().status(200).body(body);
    Curl::get(path).field("If-Match", "\"other\"").ask().status(412);
    let head = Curl::head(path).ask().status(200);
    let head = head.has("Content-Length", &body.len().to_string());
    head.has("ETag", &tag).has("Last-Modified", &modified).has("Accept-Ranges", "bytes");
}

fn ranges(site: &SampleSite) {
    let (path, body) = ("/static/hero.webp", &site.files["hero.webp"]);
    let len = body.len();
    for (range, first, end) in [
        ("0-99".to_owned(), 0, 100),
        ("100-".to_owned(), 100, len),
        ("-7".to_owned(), len - 7, len),
        (format!("{}-{}", len - 1, len + 10), len - 1, len),
    ] {
        let part = Curl::get(path).field("Range", &format!("bytes={range}")).ask().status(206);
        let part = part.body(&body[first..end]);
        part.has("Content-Range", &format!("bytes {first}-{}/{len}", end - 1));
    }
    let beyond = Curl::get(path).field("Range", &format!("bytes={len}-")).ask().status(416);
    beyond.has("Content-Range", &format!("bytes */{len}"));
    Curl::head(path).field("Range", "bytes=0-99").ask().status(200);
    let stale = Curl::get(path).field("Range", "bytes=0-99").field("If-Range", "\"other\"");
    stale.ask().status(200).body(body);
}

fn uploads(rig: &Rig) {
    let file = rig.scratch.path().join("upload");
    for len in [0, 1, 512_000, 5 << 20] {
        fs::write(&file, vec![b'u'; len]).expect("writable");
        let from = format!("@{}", file.display());
        let post = Curl::post("/upload", &from);
        post.clone().ask().status(200).body(len.to_string());
        let chunked = post.field("Transfer-Encoding", "chunked").ask();
        chunked.status(200).body(len.to_string());
    }
    let expecting = Curl::post("/upload", &format!("@{}", file.display()));
    let expecting = expecting.field("Expect", "100-continue").ask().status(200);
    assert!(expecting.interim, "100 Continue came before the body");
}

/// SQLite is there, PostgreSQL is not.
fn databases(shop: &Shop) {
    let table = Table::sqlite(shop);
    for (min, max) in [(10, 50), (1, 1), (499, 500), (600, 700)] {
        let shown = Curl::get(&format!("/db?min={min}&max={max}")).ask().status(200);
        let shown = shown.has("Content-Type", "application/json");
        let got: Value = serde_json::from_slice(&shown.answer.body).expect("JSON");
        let expected = table.expected(min, max, 50);
        assert_eq!(difference(&got, &expected), None, "{}", shown.what);
    }
    Curl::get("/async-db").ask().status(200).body(r#"{"items":[],"count":0}"#);
    let without = Curl::get("/crud/items/1").ask().status(503);
    assert!(without.value("Retry-After").parse::<u32>().is_ok_and(|seconds| seconds > 0));
}

fn refusals() {
    Curl::get("/static").ask().status(301).has("Location", "/static/");
    for path in ["/nothing", "/static/nothing.js", "/static/../dataset.json", "/JSON"] {
        let refused = Curl::get(path).ask().status(404);
        refused.has("Content-Length", &refused_len(404));
    }
    Curl::get("/static/app.js%00").ask().status(400);
    for (path, allow) in [
        ("/pipeline", "GET, HEAD, OPTIONS"),
        ("/static/app.js", "GET, HEAD, OPTIONS"),
        ("/json/5", "GET, HEAD, OPTIONS"),
        ("/baseline11", "GET, HEAD, POST, OPTIONS"),
        ("/upload", "POST, OPTIONS"),
        ("/db", "GET, HEAD, OPTIONS"),
        ("/crud/items/1", "GET, HEAD, PUT, OPTIONS"),
    ] {
        Curl::get(path).method("DELETE").ask().status(405).has("Allow", allow);
        Curl::get(path).method("OPTIONS").ask().status(204).has("Allow", allow).body("");
    }
    Curl::get("/upload").ask().status(405).has("Allow", "POST, OPTIONS");
    Curl::post("/pipeline", "x").ask().status(405).has("Allow", "GET, HEAD, OPTIONS");
    let server = Curl::get("/").method("OPTIONS").with(&["--request-target", "*"]).ask();
    assert!(matches!(server.answer.status, 200 | 204), "{server:?}");
    assert!(server.value("Allow").contains("GET"));
    Curl::get("/pipeline").method("BREW").ask().status(501);
}

/// Length of the short text that goes with an error; it is the status line again.
fn refused_len(status: u16) -> String {
    let text = match status {
        404 => "404 Not Found\n",
        _ => panic!("no test asks for {status}"),
    };
    text.len().to_string()
}

fn date() {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let mut client = Client::open();
    let mut dates = Vec::new();
    for _ in 0..3 {
        let before = now();
        client.send(format!("GET /pipeline HTTP/1.1\r\nHost: {APPLIANCE}:{PORT}\r\n\r\n"));
        let answer = client.response();
        let after = now();
        let date = answer.field("Date").expect("every answer has a date");
        //= RFC 9110 5.6.7: IMF-fixdate, such as `Sun, 06 Nov 1994 08:49:37 GMT`.
        assert!(date.len() == 29 && date.ends_with(" GMT"), "{date}");
        let told = Tool::new(5, "date", &["-u", "-d", date, "+%s"]).text();
        let told: u64 = told.trim().parse().expect("seconds");
        assert!(
            (before - 1..=after).contains(&told),
            "{date}: {told} is not in {before}..={after}"
        );
        let format = ["-u", "-d", &format!("@{told}"), "+%a, %d %b %Y %H:%M:%S GMT"];
        let spelled = Tool::new(5, "date", &format).with("LC_ALL", "C").text();
        assert_eq!(spelled.trim(), date);
        dates.push(told);
        std::thread::sleep(std::time::Duration::from_millis(1_100));
    }
    assert!(dates[0] < dates[1] && dates[1] < dates[2], "the date goes with the time: {dates:?}");
}
