//! The commands of control: retire, drain, resume, stop.

use http1::Service;

use super::{Mode, Worker};
use crate::Nic;
use crate::control_queue::Event;
use crate::tcp::connection::Stage;

impl Mode {
    /// Whether new connections are taken.
    pub(super) fn accepts(self) -> bool {
        matches!(self, Self::Serving | Self::Retiring)
    }
}

impl<N: Nic, S: Service> Worker<N, S> {
    pub(super) fn retire_all(&mut self) {
        if self.control.mode == Mode::Serving {
            self.enter(Mode::Retiring);
        }
    }

    pub(super) fn drain(&mut self) {
        if self.control.mode.accepts() {
            self.enter(Mode::Draining);
        }
    }

    fn enter(&mut self, mode: Mode) {
        self.control.mode = mode;
        self.deadlines.set_draining(!mode.accepts());
        for slot in self.slots_in_use() {
            let conn = self.conns.conn(slot);
            if conn.stage == Stage::Open {
                conn.http.drain();
                self.run_queue.push(slot, &mut conn.queued);
            }
        }
    }

    pub(super) fn resume(&mut self) {
        self.control.mode = Mode::Serving;
        self.deadlines.set_draining(false);
        let sent = self.control.end.events.push(Event::Resumed).is_ok();
        debug_assert!(sent, "control reads events before it sends the next command");
    }

    pub(super) fn stop(&mut self) {
        for slot in self.slots_in_use() {
            if self.conns.conn(slot).stage != Stage::Free {
                self.abort(slot);
                self.interface.nic.flush();
            }
        }
        self.abort_half_open();
        self.publish();
        self.control.mode = Mode::Stopped;
    }

    fn slots_in_use(&self) -> impl Iterator<Item = u32> + use<N, S> {
        (0..self.conns.capacity()).filter_map(|slot| u32::try_from(slot).ok())
    }
}
