//! Control, and what the counters must say at the end of a world.

use std::collections::BTreeMap;

use engine::Latencies;
use engine::control_queue::Event;

use super::World;
use crate::control::Control;
use crate::moved;
use crate::overdue;

impl World {
    /// Tells every worker to retire.
    pub fn retire(&mut self) {
        self.controls.iter().for_each(|control| control.retire());
    }

    /// Tells every worker to drain.
    pub fn drain(&mut self) {
        self.controls.iter().for_each(|control| control.drain());
    }

    /// Tells every worker to accept connections again.
    pub fn resume(&mut self) {
        self.controls.iter().for_each(|control| control.resume());
    }

    /// Tells every worker to stop.
    pub fn stop(&mut self) {
        self.controls.iter().for_each(|control| control.stop());
    }

    /// Every event that workers have sent since the last call.
    pub fn events(&mut self) -> Vec<Event> {
        let next = |control: &dyn Control| core::iter::from_fn(|| control.poll_event()).collect();
        self.controls.iter().flat_map(|control| -> Vec<Event> { next(&**control) }).collect()
    }

    /// One counter, over all workers.
    ///
    /// # Panics
    /// If there is none of that name.
    #[track_caller]
    pub fn count(&self, name: &str) -> u64 {
        let counts = self.counts();
        *counts.get(name).unwrap_or_else(|| panic!("there is no counter {name}"))
    }

    /// Every counter, over all workers.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        for control in &self.controls {
            moved::note_readings(control.stats().readings());
            for reading in control.stats().readings() {
                *counts.entry(reading.name).or_default() += reading.value;
            }
        }
        counts
    }

    /// The histograms of each worker.
    pub fn latencies(&self) -> impl Iterator<Item = &Latencies> {
        self.controls.iter().map(|control| control.latencies())
    }

    /// Every reason for which frames were dropped, with their number.
    pub fn drops(&self) -> BTreeMap<&'static str, u64> {
        let mut drops = self.counts();
        drops.retain(|name, count| name.starts_with("drop_") && *count > 0);
        drops
    }

    /// One counter of each worker.
    pub fn count_each(&self, name: &str) -> Vec<u64> {
        let value = |control: &dyn Control| {
            let found = control.stats().readings().find(|reading| reading.name == name);
            found.map_or(0, |reading| reading.value)
        };
        self.controls.iter().map(|control| value(&**control)).collect()
    }

    /// Checks that every frame is accounted for: taken = delivered + dropped + the kernel's, on every worker; every
    /// frame the NIC took was taken by a worker or counted as lost between cores; every frame sent left.
    #[track_caller]
    pub fn check_balance(&mut self) {
        self.settle();
        for control in &self.controls {
            let (mut frames, mut fates) = (0, 0);
            for reading in control.stats().readings() {
                match reading.name {
                    "rx_frames" => frames += reading.value,
                    "rx_delivered" | "exception_rx_frames" => fates += reading.value,
                    // An answer of ours that could not leave: its frame was counted by what it was.
                    "reply_no_tx_buffer" => {}
                    name if name.starts_with("drop_") => fates += reading.value,
                    _ => {}
                }
            }
            if frames != fates {
                self.fail(format!("{frames} frames taken, {fates} accounted for"));
            }
        }
        let taken = self.count("rx_frames") + self.count("nic_rx_ring_full");
        if taken != self.wire.delivered() {
            self.fail(format!("{} frames delivered, {taken} taken", self.wire.delivered()));
        }
        let left = self.wire.collected() + self.count("nic_tx_segmentation_refused");
        let sent = self.count("tx_frames");
        if sent != left {
            self.fail(format!("{sent} frames sent, {left} left"));
        }
    }

    /// Connections that have been opened and have not ended.
    pub fn open_connections(&self) -> u64 {
        let counts = self.counts();
        let ended = ["closed", "reset_by_peer", "aborted", "handshake_expired"];
        let ended: u64 = ended.iter().map(|how| counts[&*format!("connections_{how}")]).sum();
        counts["connections_opened"] - ended
    }

    /// Waits until nothing is under way, for as long as the deadlines of a connection take one after the other; then checks
    /// that nothing is left: no connection, every buffer home, every frame accounted for. Ends the world, since
    /// worker queues keep transmit buffers at hand for as long as they are there.
    #[track_caller]
    pub fn end(mut self) {
        let over =
            |world: &mut Self| world.network.under_way() == 0 && world.open_connections() == 0;
        if !self.run_until(overdue::longest_end(&self.setup.core.deadlines), over) {
            let (frames, open) = (self.network.under_way(), self.open_connections());
            self.fail(format!("it does not end: {open} connections, {frames} frames under way"));
        }
        self.check_balance();
        for level in ["connections_open", "connections_half_open"] {
            if self.count(level) != 0 {
                self.fail(format!("{level} is {}", self.count(level)));
            }
        }
        self.workers.clear();
        self.kernels.clear();
        while self.wire.collect(|_| ()) {}
        if self.wire.away() != (0, 0) {
            self.fail(format!("buffers (receive, transmit) not home: {:?}", self.wire.away()));
        }
    }

    /// Lets workers take what has arrived and publish their numbers.
    fn settle(&mut self) {
        if let Some(stalls) = &mut self.stalls {
            stalls.end(&mut self.wire);
        }
        let mut turns = 0;
        let mut quiet = 0;
        while quiet < QUIET_TURNS && turns < SETTLE_TURNS {
            quiet = if self.turn() { 0 } else { quiet + 1 };
            self.collect();
            turns += 1;
        }
    }
}

/// Empty turns in a row after which a worker has published what it has to say.
const QUIET_TURNS: u32 = 256;

/// Most turns that settling may take.
const SETTLE_TURNS: u32 = 100_000;
