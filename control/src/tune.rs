//! `pollux tune`: keeps other work off the dataplane cores and lets these run at full speed, and puts back
//! what it found.
//!
//! [`Snapshot`] is what the machine is set to, [`TunePlan`] (pure) what is to change, [`Store`] what was
//! found before a change; [`change`] writes. Only files of `/proc` and `/sys` are written, so a restart of the
//! machine undoes everything.

mod args;
mod change;
mod cpus;
mod error;
mod machine;
mod plan;
mod record;
mod report;
mod snapshot;

pub(crate) use self::args::TuneCommand;
use self::args::{ApplyArgs, CoreArgs, RevertArgs, ShowArgs};
use self::machine::Machine;
use self::plan::TunePlan;
use self::record::Store;
use self::snapshot::Snapshot;
use crate::cli::options::Options;
use crate::config::Plan;
use crate::cores::HostCores;
use crate::failure::Failure;
use crate::output::print;

/// Carries out a command.
///
/// # Errors
/// The configuration is wrong, or a file of this machine or of the state directory is not as it has to be.
pub(crate) fn tune(command: TuneCommand) -> Result<(), Failure> {
    match command {
        TuneCommand::Show(args) => show(args),
        TuneCommand::Apply(args) => apply(args),
        TuneCommand::Revert(args) => revert(&args),
    }
}

fn show(args: ShowArgs) -> Result<(), Failure> {
    let machine = Machine::here();
    let plan = plan(&machine, args.cores)?;
    let record = Store::new(&args.state.state).read()?;
    let boot = machine.boot_id()?;
    let text = if args.json {
        report::plan_json(&plan, record.as_ref(), &boot)
    } else {
        let applied = report::record_text(record.as_ref(), &boot);
        format!("{}{applied}", report::plan_text(&plan))
    };
    print(&text)
}

fn apply(args: ApplyArgs) -> Result<(), Failure> {
    let machine = Machine::here();
    let plan = plan(&machine, args.cores)?;
    print(&report::plan_text(&plan))?;
    if !args.yes {
        return print("nothing was done: add --yes\n");
    }
    let store = Store::new(&args.state.state);
    let outcomes = change::apply(&machine, &store, &plan)?;
    print(&report::outcomes_text(&outcomes))?;
    Ok(change::assess(&outcomes)?)
}

fn revert(args: &RevertArgs) -> Result<(), Failure> {
    let store = Store::new(&args.state.state);
    let outcomes = change::revert(&Machine::here(), &store)?;
    print(&report::outcomes_text(&outcomes))?;
    Ok(change::assess(&outcomes)?)
}

fn plan(machine: &Machine, args: CoreArgs) -> Result<TunePlan, Failure> {
    let host = HostCores::read().map_err(Failure::cores)?;
    let config = Options::of_cores(args.config, args.cores).config()?;
    let cores = Plan::check(&config, &host)?.cores;
    Ok(TunePlan::of(&Snapshot::read(machine)?, &cores)?)
}
