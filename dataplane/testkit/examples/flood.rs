//! The flood of the test kit as a program, in the network namespace it is started in, as root.
//!
//! ```text
//! cargo run -p testkit --example flood -- INTERFACE MAC ADDRESS:PORT SECONDS [--wrong-checksums]
//! ```
//!
//! Sends SYNs from made-up addresses of 10.0.0.0/8 to the server at ADDRESS:PORT, whose link address is MAC, as fast as it
//! can, and then prints how many.

use std::env;
use std::io::{self, Write};
use std::net::SocketAddrV4;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use testkit::{Checksums, SynFlood};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flood: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    let count = arguments.len();
    arguments.retain(|argument| argument != "--wrong-checksums");
    let is_right = arguments.len() == count;
    let checksums = if is_right { Checksums::Right } else { Checksums::Wrong };
    let [interface, mac, to, seconds] = arguments.as_slice() else {
        return Err(format!("wants INTERFACE MAC ADDRESS:PORT SECONDS, not {arguments:?}"));
    };
    let mac = read_mac(mac).ok_or_else(|| format!("{mac}: no link address"))?;
    let to: SocketAddrV4 = to.parse().map_err(|_| format!("{to}: wants ADDRESS:PORT"))?;
    let seconds: u32 =
        seconds.parse().map_err(|_| format!("{seconds}: wants a number of seconds"))?;
    let mut flood = SynFlood::open(interface, mac, to, checksums, 1)
        .map_err(|error| format!("{interface}: {error}"))?;
    let sent = flood.run(Instant::now() + Duration::from_secs(seconds.into()));
    writeln!(io::stdout(), "{sent}").map_err(|error| error.to_string())
}

/// Six hexadecimal numbers with colons between them.
fn read_mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Vec<u8> =
        text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect::<Option<_>>()?;
    bytes.try_into().ok()
}
