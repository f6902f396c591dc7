//! What `pollux tune` prints.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::change::Outcome;
use super::plan::{Change, TunePlan};
use super::record::Record;
use crate::cores::list;

/// The plan for people.
pub(super) fn plan_text(plan: &TunePlan) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let (cores, others) = (list(&plan.cores), list(&plan.others));
    let _ = writeln!(text, "dataplane cores {cores}; everything else on {others}");
    if plan.changes.is_empty() {
        text.push_str("nothing to change\n");
    } else {
        let wide = plan.changes.iter().map(|change| change.setting.len()).max().unwrap_or(0);
        let found = plan.changes.iter().map(|change| change.found.len()).max().unwrap_or(0).max(3);
        let _ = writeln!(text, "{:<wide$}  {:<found$}  WANTED", "SETTING", "NOW");
        for Change { setting, found: now, wanted, .. } in &plan.changes {
            let _ = writeln!(text, "{setting:<wide$}  {now:<found$}  {wanted}");
        }
    }
    for note in &plan.notes {
        let _ = writeln!(text, "note: {note}");
    }
    let missing: Vec<_> = plan.boot.iter().filter(|b| !b.add.is_empty()).map(|b| &*b.add).collect();
    let boot = if missing.is_empty() {
        "kernel command line: isolcpus, nohz_full and rcu_nocbs have these cores".to_owned()
    } else {
        let missing = missing.join(" ");
        format!("kernel command line: add {missing} and restart the machine (not changed by apply)")
    };
    let _ = writeln!(text, "{boot}");
    text
}

/// What was applied, for people.
pub(super) fn record_text(record: Option<&Record>, boot: &str) -> String {
    match record {
        None => "applied: nothing\n".into(),
        Some(record) if record.boot != boot => {
            "applied: nothing in this boot (the record is of an earlier one)\n".into()
        }
        Some(record) => format!(
            "applied: {} settings for cores {}; `pollux tune revert` puts them back\n",
            record.changes.len(),
            list(&record.cores)
        ),
    }
}

/// Both as a line of JSON.
pub(super) fn plan_json(plan: &TunePlan, record: Option<&Record>, boot: &str) -> String {
    let changes: Vec<_> = plan.changes.iter().map(change_json).collect();
    let applied = record.filter(|record| record.boot == boot).map(|record| {
        let changes: Vec<_> = record.changes.iter().map(change_json).collect();
        json!({ "cores": record.cores, "changes": changes })
    });
    let object = json!({
        "version": 1,
        "cores": plan.cores,
        "others": plan.others,
        "changes": changes,
        "notes": plan.notes,
        "boot": plan.boot,
        "applied": applied,
    });
    format!("{object}\n")
}

fn change_json(change: &Change) -> Value {
    json!({
        "setting": change.setting,
        "file": format!("/{}", change.file),
        "found": change.found,
        "wanted": change.wanted,
    })
}

/// What was done, a line each.
pub(super) fn outcomes_text(outcomes: &[Outcome]) -> String {
    let line = |outcome: &Outcome| match outcome {
        Outcome::Changed(change, value) => format!("{}: now {value}", change.setting),
        Outcome::Fixed(change, why) => format!("{}: stays: {why}", change.setting),
        Outcome::Failed(change, why) => format!("{}: failed: {why}", change.setting),
        Outcome::Left(change, now) => {
            format!("{}: left on {now}, which somebody else has set since", change.setting)
        }
        Outcome::Said(text) => text.clone(),
    };
    outcomes.iter().map(|outcome| line(outcome) + "\n").collect()
}
