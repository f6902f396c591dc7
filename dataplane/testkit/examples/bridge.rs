//! The bridge of the test kit as a program, in the network namespace it is started in, as root.
//!
//! ```text
//! cargo run -p testkit --example bridge -- LEFT RIGHT [--to-right SETTINGS] [--to-left SETTINGS] [--seed N]
//! ```
//!
//! `SETTINGS` are `KEY=VALUE,...` as [`testkit::Impairment`] documents them: `delay=10ms,loss=1%`. Says `ready` when it
//! forwards. Ends with its standard input, and then prints what each direction has done.

use std::env;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use testkit::{Bridge, Impairment};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bridge: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let mut names = Vec::new();
    let mut settings = [Impairment::default(), Impairment::default()];
    let mut seed = 1;
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} wants a value"));
        match argument.as_str() {
            "--to-right" => settings[0] = value()?.parse()?,
            "--to-left" => settings[1] = value()?.parse()?,
            "--seed" => {
                let text = value()?;
                seed = text.parse().map_err(|_| format!("--seed {text}: wants a whole number"))?;
            }
            _ => names.push(argument),
        }
    }
    let [left, right] = names.as_slice() else {
        return Err(format!("wants two interfaces, not {names:?}"));
    };
    let bridge = Bridge::start([left, right], seed, settings)
        .map_err(|error| format!("{left}, {right}: {error}"))?;
    let io = |error: io::Error| error.to_string();
    writeln!(io::stdout(), "ready").map_err(io)?;
    io::stdin().read_to_end(&mut Vec::new()).map_err(io)?;
    let [to_right, to_left] = bridge.counts();
    writeln!(io::stdout(), "to-right {to_right}\nto-left {to_left}").map_err(io)
}
