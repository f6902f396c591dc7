//! Bodies that are compressed for one request: processor time, on threads of their own.

use std::io;
use std::sync::{Arc, Mutex};

use crossbeam::channel::{self, Receiver, Sender, TrySendError};
use handlers::{JobKind, Offload};
use http1::Status;

use crate::config::ComputePlan;

use super::cache::lock;
use super::office::Office;
use super::outbox::Asker;
use super::threads::Threads;

/// All threads that compress.
#[derive(Debug)]
pub(crate) struct Presses {
    /// None: they were told to stop.
    sheets: Mutex<Option<Sender<Sheet>>>,
    threads: Threads,
    office: Arc<Office>,
}

/// One body to be made.
#[derive(Debug)]
pub(crate) struct Sheet {
    /// Who waits for it.
    pub(crate) asker: Asker,
    /// The request, with an errand to press.
    pub(crate) ask: Offload,
}

impl Presses {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(crate) fn start(plan: &ComputePlan, office: &Arc<Office>) -> io::Result<Self> {
        let (sheets, received) = channel::bounded(plan.queue);
        let threads = Threads::default();
        for number in 0..plan.threads {
            let (received, office) = (received.clone(), Arc::clone(office));
            threads.start(format!("compute-{number}"), move || work(&received, &office))?;
        }
        Ok(Self { sheets: Mutex::new(Some(sheets)), threads, office: Arc::clone(office) })
    }

    /// Makes a body, or answers 503 at once if as many as allowed are waiting.
    pub(crate) fn run(&self, sheet: Sheet) {
        let tallies = &self.office.tallies;
        let sheets = lock(&self.sheets);
        let Some(sender) = &*sheets else { return };
        tallies.compress_waiting.up();
        if let Err(TrySendError::Full(sheet) | TrySendError::Disconnected(sheet)) =
            sender.try_send(sheet)
        {
            tallies.compress_waiting.down();
            tallies.compress_refused.up();
            self.office.outbox.answer_kept(sheet.asker, sheet.ask.refusal(Status::S503));
        }
    }

    /// Ends all threads, once they have made what waits.
    pub(crate) fn stop(&self) {
        drop(lock(&self.sheets).take());
        self.threads.join();
    }
}

fn work(sheets: &Receiver<Sheet>, office: &Office) {
    for Sheet { asker, ask } in sheets {
        office.tallies.compress_waiting.down();
        let JobKind::Compress(press) = ask.job_kind() else {
            unreachable!("the clerk sends what is to be pressed");
        };
        let answer = press.run();
        drop(ask);
        office.tallies.compressed.up();
        office.outbox.answer(asker, answer);
        office.help();
    }
}
