//! A connection and its source: counted when it opens, refused beyond what the source may have, released when it ends.

use core::mem;
use core::net::IpAddr;

use http1::Service;

use super::Worker;
use crate::tcp::sources::{NoRecord, SourceId};
use crate::wire::drop_reason::DropReason;
use crate::wire::ethernet::ReplyHeader;
use crate::wire::segment::Segment;
use crate::{Nic, Now};

impl<N: Nic, S: Service> Worker<N, S> {
    /// Counts the connection that `segment` opens for its source, or resets it where the source has as many as it may.
    pub(super) fn enter_source(
        &mut self,
        segment: &Segment,
        header: &ReplyHeader,
        now: Now,
    ) -> Result<SourceId, DropReason> {
        let stats = &self.control.end.stats;
        match self.http.sources.enter(IpAddr::V4(segment.tuple.peer())) {
            Ok(source) => Ok(source),
            Err(NoRecord::TableFull) => {
                stats.source_table_full.add(1);
                Ok(SourceId::default())
            }
            Err(NoRecord::Limit) => {
                self.interface.reset(segment, header, stats, now.micros);
                Err(DropReason::SourceLimit)
            }
        }
    }

    /// The connection in `slot` ends: its source holds it no more, nor a body that still came in. A request that control
    /// has is held until its completion comes.
    #[cold]
    pub(super) fn leave_source(&mut self, slot: u32) {
        let conn = self.conns.conn(slot);
        let source = mem::take(&mut conn.source);
        if mem::take(&mut conn.is_charged) {
            self.http.sources.release(source);
        }
        self.http.sources.leave(source);
    }
}
