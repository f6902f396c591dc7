//! `pollux check`: what would be served on what, without touching a device.

mod sizing;
mod table;

use std::fmt::Write as _;

use crate::admin;
use crate::cli::options::Options;
use crate::config::{
    Config, ConfigError, Effective, Origin, Pages, Plan, Routes, Setting, spell_time,
};
use crate::content::{self, Content, ContentError, Sample};
use crate::cores::{self, HostCores};
use crate::failure::Failure;
use crate::human;
use crate::launch::MemoryRequirement;
use crate::link::{HostLinks, LinkSpec, choose};
use crate::memory::HugepagePool;
use crate::output::print;

/// Reads configuration and data and prints what they come to; with `sizing`, only what memory they take for
/// several numbers of connections. What this machine lacks is said, but
/// is no error: the configuration may be meant for another one.
///
/// # Errors
/// Configuration or data is wrong; everything that is.
pub(crate) fn check(options: Options, sizing: bool) -> Result<(), Failure> {
    let host = HostCores::read().map_err(Failure::cores)?;
    let config = options.config()?;
    let (plan, errors) = Plan::survey(&config, &host);
    let sample = Sample::default();
    let (plan, content, warnings) = validate(plan, errors, &sample)?;
    let pool = HugepagePool::read();
    let requirement = MemoryRequirement::of(&plan, content.bytes, pool);
    let text = if sizing {
        sizing::table(&plan, content.bytes, pool)
    } else {
        let found = report(&plan, &content, &warnings, requirement, &host, &HostLinks::read());
        found + &from_environment(&config, &plan)
    };
    print(&text)
}

/// Looks as far as it can with what is known already, to tell everything that is wrong at once.
fn validate(
    plan: Plan,
    errors: Vec<ConfigError>,
    sample: &Sample,
) -> Result<(Plan, Content, Vec<String>), ContentError> {
    let mut errors: Vec<ContentError> = errors.into_iter().map(Into::into).collect();
    let mut valid = None;
    match Content::check(&plan, sample) {
        Ok(content) => match content::validate(&plan, &content.site) {
            Ok(warnings) => valid = Some((content, warnings)),
            Err(error) => errors.extend(error.each()),
        },
        Err(error) => errors.extend(error.each()),
    }
    ContentError::all(errors)?;
    let (content, warnings) = valid.expect("there is content where there is no error");
    Ok((plan, content, warnings))
}

fn report(
    plan: &Plan,
    content: &Content,
    warnings: &[String],
    requirement: MemoryRequirement,
    host: &HostCores,
    links: &HostLinks,
) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{name:<9}{value}");
    };
    let (on_link, prefix) = plan.on_link();
    let role = if plan.link_address.is_some() { "service address; on the link" } else { "network" };
    let Plan { address, port, .. } = plan;
    line("serve", format!("http://{address}:{port}/ ({role} {on_link}/{prefix})"));
    line("link", plan.link.to_string());
    if plan.link == LinkSpec::Auto {
        let assessments =
            choose(links).map_or_else(|none| none.assessments, |choice| choice.assessments);
        for assessment in assessments {
            line("", format!("here: {assessment}"));
        }
    }
    if let Some(name) = &plan.exception {
        line("kernel", exception_line(plan, name));
    }
    let beside = cores::list(&host.beside(&plan.cores));
    line("cores", format!("{}; control on {beside}", cores::list(&plan.cores)));
    let bytes = human::bytes(content.bytes as u64);
    let skipped = match content.left_out.skipped {
        0 => String::new(),
        skipped => format!(" ({skipped} skipped: files.unreadable = \"skip\")"),
    };
    let Content { source, files, .. } = content;
    line("content", format!("{source}: {files} files{skipped}, {bytes} of responses"));
    line("limits", limits(plan));
    line("admin", admin::path(&plan.admin_directory, &plan.admin_name).display().to_string());
    line("stop", stop(plan));
    match plan.pages {
        Pages::Huge => line("memory", requirement.to_string()),
        Pages::Ordinary => line("memory", "ordinary pages for frames".into()),
    }
    for (name, value) in databases(plan) {
        line(name, value);
    }
    let Routes { origin, entries, idle_statements } = &*plan.routes;
    line("routes", format!("{} of {origin}", entries.len()));
    for row in table::of(entries) {
        line("", row);
    }
    if !idle_statements.is_empty() {
        line("note", format!("statements that no route names: {}", idle_statements.join(", ")));
    }
    for warning in warnings {
        line("note", warning.clone());
    }
    text
}

/// The keys whose value a variable gives, one a line.
fn from_environment(config: &Config, plan: &Plan) -> String {
    let settings = Effective::of(config, plan).settings;
    let given = settings.iter().filter(|setting| setting.source == Origin::Environment);
    given
        .map(|setting| {
            let Setting { key, value, .. } = setting;
            format!("{:<9}{key} = {value:?}, from {}\n", "environ", setting.origin())
        })
        .collect()
}

fn exception_line(plan: &Plan, name: &str) -> String {
    let ((address, prefix), port) = (plan.on_link(), plan.port);
    format!("{name}, {address}/{prefix}: what is not for TCP port {port} is the kernel's")
}

fn limits(plan: &Plan) -> String {
    format!(
        "{} connections, {} a core; head {} B, body {} B; {} requests wait, {} B each",
        plan.connections,
        plan.tally.connections,
        plan.limits.head_len_max,
        plan.limits.body_len_max,
        plan.parked,
        plan.request_buffer
    )
}

/// How long whoever stops the server must wait for it, in whole seconds.
fn stop(plan: &Plan) -> String {
    let limit = (plan.withdraw + plan.drain).as_millis().div_ceil(1_000);
    let drain = spell_time(plan.drain);
    let mut text = format!("takes up to {limit} s: deadlines.drain {drain}");
    if !plan.withdraw.is_zero() {
        let _ = write!(text, " after deadlines.withdraw {}", spell_time(plan.withdraw));
    }
    text
}

/// What is said of the databases that routes query.
fn databases(plan: &Plan) -> Vec<(&'static str, String)> {
    let asked = |kind: &str| plan.routes.entries.iter().any(|entry| entry.kind() == kind);
    let mut lines = Vec::new();
    if asked("postgres") {
        let postgres = &plan.postgres;
        let server = match postgres.server_name() {
            Some(server) => {
                format!(
                    "{server}, {} connections, {} queries each",
                    postgres.connections, postgres.pipeline
                )
            }
            None => "no server: postgres.url and DATABASE_URL are empty; unavailable".into(),
        };
        lines.push(("postgres", server));
    }
    if asked("sqlite") {
        let threads = plan.sqlite.threads;
        lines.push(("sqlite", format!("{threads} thread{}", if threads == 1 { "" } else { "s" })));
    }
    lines
}
