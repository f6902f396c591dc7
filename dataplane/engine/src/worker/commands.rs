//! What control's commands do to a worker: retire, drain, resume, stop.

use http1::{Conn, Service};

use super::{Mode, Worker};
use crate::Nic;
use crate::conn::Stage;
use crate::link::Event;

impl Mode {
    /// Whether new connections are taken.
    pub(super) fn accepts(self) -> bool {
        matches!(self, Self::Serving | Self::Retiring)
    }

    /// Says to a connection how it stands.
    pub(super) fn tell<S: Service>(self, http: &mut Conn<S>) {
        match self {
            Self::Serving => {}
            Self::Retiring => http.retire(),
            Self::Draining | Self::Drained | Self::Stopped => http.drain(),
        }
    }
}

impl<N: Nic, S: Service> Worker<N, S> {
    pub(super) fn retire_all(&mut self) {
        if self.link.mode == Mode::Serving {
            self.enter(Mode::Retiring);
        }
    }

    pub(super) fn drain(&mut self) {
        if self.link.mode.accepts() {
            self.enter(Mode::Draining);
        }
    }

    fn enter(&mut self, mode: Mode) {
        self.link.mode = mode;
        for slot in self.slots_in_use() {
            let conn = self.conns.conn(slot);
            if conn.stage == Stage::Open {
                mode.tell(&mut conn.http);
                self.ready.push(slot, &mut conn.queued);
            }
        }
    }

    pub(super) fn resume(&mut self) {
        self.link.mode = Mode::Serving;
        let told = self.link.end.events.push(Event::Resumed).is_ok();
        debug_assert!(told, "control reads events before it sends the next command");
    }

    pub(super) fn stop(&mut self) {
        for slot in self.slots_in_use() {
            if self.conns.conn(slot).stage != Stage::Free {
                self.abort(slot);
                self.wire.nic.flush();
            }
        }
        self.publish();
        self.link.mode = Mode::Stopped;
    }

    fn slots_in_use(&self) -> impl Iterator<Item = u32> + use<N, S> {
        (0..self.conns.capacity()).filter_map(|slot| u32::try_from(slot).ok())
    }
}
