//! `pollux check`: what would be served on what, without touching a device.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use crate::cli::Options;
use crate::config::{Pages, Plan};
use crate::content::Content;
use crate::cores::{self, HostCores};
use crate::failure::Failure;
use crate::launch::Need;
use crate::link::{HostLinks, LinkSpec, choose};
use crate::memory::{HugepagePool, mebibytes};

/// Reads configuration and data and prints what they come to. What this machine lacks is said, but
/// is no error: the configuration may be meant for another one.
///
/// # Errors
/// Configuration or data is wrong.
pub(crate) fn check(options: Options) -> Result<(), Failure> {
    let host = HostCores::read().map_err(Failure::Cores)?;
    let plan = Plan::check(&options.config()?, &host)?;
    let content = Content::rehearse(&plan)?;
    let need = Need::of(&plan, content.octets, HugepagePool::read());
    let text = report(&plan, &content, need, &host, &HostLinks::read());
    io::stdout().write_all(text.as_bytes()).map_err(Failure::Output)
}

fn report(
    plan: &Plan,
    content: &Content,
    need: Need,
    host: &HostCores,
    links: &HostLinks,
) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{name:<9}{value}");
    };
    line(
        "serve",
        format!(
            "http://{}:{}/ (network {}/{})",
            plan.address, plan.port, plan.address, plan.prefix
        ),
    );
    line("link", plan.link.to_string());
    if plan.link == LinkSpec::Auto {
        let verdicts = choose(links).map_or_else(|none| none.verdicts, |choice| choice.verdicts);
        for verdict in verdicts {
            line("", format!("here: {verdict}"));
        }
    }
    line(
        "cores",
        format!(
            "{}; control on {}",
            cores::list(&plan.cores),
            cores::list(&host.beside(&plan.cores))
        ),
    );
    line(
        "content",
        format!(
            "{}: {} files, {} of answers",
            content.source,
            content.files,
            mebibytes(content.octets as u64)
        ),
    );
    line(
        "limits",
        format!(
            "{} connections, {} a core; head {} B, body {} B",
            plan.connections,
            plan.tally.connections,
            plan.limits.head_len_max,
            plan.limits.body_len_max
        ),
    );
    match plan.pages {
        Pages::Huge => line("memory", need.to_string()),
        Pages::Ordinary => line("memory", "ordinary pages for frames".into()),
    }
    text
}
