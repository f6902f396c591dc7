//! The answers that are text: fixed ones, sums, counts.

use std::iter;

use crate::kit::Shown;

use super::visitor::{Body, Request, Visitor};

/// `/`: says something, in text.
pub(crate) fn index(visitor: &mut Visitor) {
    let shown = visitor.get("/").has("Content-Type", "text/plain");
    assert!(!shown.answer.body.is_empty(), "{shown:?}");
}

/// `/pipeline`, one by one and many at once.
pub(crate) fn pipeline(visitor: &mut Visitor) {
    for shown in visitor.ask_all(&vec![Request::get("/pipeline"); 64]) {
        text(shown, "ok");
    }
    text(visitor.get("/pipeline?a=1"), "ok");
    let coded = Request::get("/pipeline").accepting("gzip, br");
    text(visitor.ask(&coded).lacks("Content-Encoding"), "ok");
}

/// `/caching`: 304 for one who has it, 200 for others.
pub(crate) fn caching(visitor: &mut Visitor) {
    for tags in ["\"AOK\"", "W/\"AOK\"", "\"x\", \"AOK\"", "*"] {
        let request = Request::get("/caching").field("If-None-Match", tags);
        visitor.ask(&request).status(304).has("ETag", "\"AOK\"").body("");
    }
    for tags in ["\"aok\"", "\"OTHER\"", "\"AOKAY\"", "W/\"x\""] {
        let request = Request::get("/caching").field("If-None-Match", tags);
        text(visitor.ask(&request), "OK").has("ETag", "\"AOK\"");
    }
    text(visitor.get("/caching"), "OK").has("ETag", "\"AOK\"");
}

/// `/baseline11` and `/baseline2`: sums of random numbers, in queries and bodies.
pub(crate) fn sums(visitor: &mut Visitor, random: &mut fastrand::Rng, rounds: usize) {
    text(visitor.get("/baseline11?a=13&b=42"), "55");
    text(visitor.get("/baseline2?a=1&b=1"), "2");
    text(visitor.get("/baseline11"), "0");
    text(visitor.get("/baseline11?"), "0");
    for _ in 0..rounds {
        let path = *random.choice(&["/baseline11", "/baseline2"]).expect("not empty");
        let (query, sum) = query(random);
        text(visitor.get(&format!("{path}?{query}")), sum);

        let number = number(random);
        let target = format!("/baseline11?{query}");
        for body in bodies(random, &number.to_string()) {
            text(visitor.ask(&Request::post(&target, body)), sum + i128::from(number));
        }
    }
    for nothing in ["", "twenty", "1.5", "0x10", "--1", "1 2", "99999999999999999999"] {
        for body in bodies(random, nothing) {
            text(visitor.ask(&Request::post("/baseline11?a=13&b=42", body)), 55);
        }
    }
    for spaced in [" 20", "20\n", "\t20\r\n"] {
        let body = Body::Sized(spaced.as_bytes().to_vec());
        text(visitor.ask(&Request::post("/baseline11?a=13&b=42", body)), 75);
    }
    pairs(visitor, random, rounds);
}

/// Posts to one path in a row, with bodies that differ: what was said before must not come again.
fn pairs(visitor: &mut Visitor, random: &mut fastrand::Rng, rounds: usize) {
    for _ in 0..rounds {
        let numbers: Vec<i64> = iter::repeat_with(|| number(random)).take(4).collect();
        let request = |number: &i64, random: &mut fastrand::Rng| {
            let bodies = bodies(random, &number.to_string());
            Request::post("/baseline11?a=1", random.choice(bodies).expect("some"))
        };
        for number in &numbers {
            let request = request(number, random);
            text(visitor.ask(&request), i128::from(*number) + 1);
        }
        let requests: Vec<_> = numbers.iter().map(|number| request(number, random)).collect();
        for (number, shown) in numbers.iter().zip(visitor.ask_all(&requests)) {
            text(shown, i128::from(*number) + 1);
        }
        text(visitor.get("/baseline11?a=1"), 1);
    }
}

/// `/upload`: how many bytes came, however they came.
pub(crate) fn uploads(visitor: &mut Visitor, random: &mut fastrand::Rng, lens: &[usize]) {
    for &len in lens {
        let bytes: Vec<u8> = iter::repeat_with(|| random.u8(..)).take(len).collect();
        let chunks = iter::repeat_with(|| random.usize(1..65_536)).take(64).collect();
        let whole = Request::post("/upload", Body::Sized(bytes.clone()));
        text(visitor.ask(&whole), len);
        text(visitor.ask(&Request::post("/upload", Body::Chunked(bytes, chunks))), len);
    }
    text(visitor.ask(&Request::new("POST", "/upload").field("Content-Length", "0")), 0);
}

/// The whole answer is this text.
#[track_caller]
pub(super) fn text(shown: Shown, expected: impl ToString) -> Shown {
    shown.status(200).has("Content-Type", "text/plain").body(expected.to_string())
}

/// A body with its length, in one chunk, and in chunks of few bytes.
fn bodies(random: &mut fastrand::Rng, text: &str) -> [Body; 3] {
    let body = || text.as_bytes().to_vec();
    let few = iter::repeat_with(|| random.usize(1..4)).take(8).collect();
    [Body::Sized(body()), Body::Chunked(body(), Vec::new()), Body::Chunked(body(), few)]
}

/// `a=1&b=x&c=-7` and the sum of its integers.
fn query(random: &mut fastrand::Rng) -> (String, i128) {
    let mut pairs = Vec::new();
    let mut sum = 0;
    for at in 0..random.usize(1..9) {
        let name = (b'a' + u8::try_from(at).expect("few")) as char;
        match random.u32(0..8) {
            0 => {
                let nothing = ["x", "", "1.5", "1e3", "0x1f", "12a", "-", "99999999999999999999"];
                pairs.push(format!("{name}={}", random.choice(nothing).expect("not empty")));
            }
            1 => pairs.push(name.to_string()),
            2 => {
                let number = random.i64(-1000..1000);
                sum += i128::from(number);
                let sign = if number < 0 { "-" } else { "" };
                pairs.push(format!("{name}={sign}000{}", number.unsigned_abs()));
            }
            _ => {
                let number = number(random);
                sum += i128::from(number);
                pairs.push(format!("{name}={number}"));
            }
        }
    }
    (pairs.join("&"), sum)
}

/// Small ones, large ones, and the ends of the range.
fn number(random: &mut fastrand::Rng) -> i64 {
    match random.u32(0..8) {
        0 => random.i64(..),
        1 => *random.choice(&[0, 1, -1, i64::MAX, i64::MIN]).expect("not empty"),
        2 => random.i64(-1_000_000_000..1_000_000_000),
        _ => random.i64(-1000..1000),
    }
}
