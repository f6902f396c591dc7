//! Loss recovery that smoltcp's Reno leaves out: it retransmits on the third duplicate acknowledgement
//! and knows nothing else, so that a second loss in a window, or a loss in a short one, costs a
//! retransmission timeout.
//!
//! It is made to by what it does know: this says when an acknowledgement is worth repeating, and the worker
//! passes it in that many times more. After a partial acknowledgement in recovery (NewReno, RFC 6582
//! 3.2 step 3) three times; in a window of two or three segments, as often as duplicates lack for want
//! of segments to cause them (early retransmit, RFC 5827 3.1).

use crate::wire::segment::{FIN, SYN, Segment, is_after};

/// The state of one connection's loss recovery.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recovery {
    /// Largest payload of a segment the peer takes, bytes.
    segment_max: u32,
    /// Duplicate acknowledgements in a row.
    duplicates: u32,
    /// The window field they carried.
    window: u16,
    /// Everything up to here must be acknowledged before a loss is over.
    point: Option<u32>,
}

impl Recovery {
    /// For a peer that takes segments of `segment_max` bytes.
    pub(crate) fn new(segment_max: u32) -> Self {
        Self { segment_max: segment_max.max(1), duplicates: 0, window: 0, point: None }
    }

    /// A segment arrived when SND.UNA was `snd_una` and SND.NXT `snd_nxt`: how many times more its acknowledgement
    /// is to be passed in.
    pub(crate) fn on_acknowledgement(
        &mut self,
        segment: &Segment,
        snd_una: u32,
        snd_nxt: u32,
    ) -> u32 {
        let is_pure_ack = segment.payload_len == 0 && !segment.has(SYN) && !segment.has(FIN);
        if is_after(snd_una, segment.ack) {
            // Reordered on the way: it acknowledges nothing new.
            return 0;
        }
        let outstanding = snd_nxt.wrapping_sub(segment.ack);
        if !is_pure_ack || outstanding == 0 {
            self.duplicates = 0;
            self.point = self.point.filter(|_| outstanding > 0);
            return 0;
        }
        if segment.ack != snd_una {
            self.duplicates = 0;
            self.window = segment.window;
            self.point = self.point.filter(|&point| is_after(point, segment.ack));
            return if self.point.is_some() { DUPLICATES } else { 0 };
        }
        if segment.window != self.window {
            self.duplicates = 0;
            self.window = segment.window;
            return 0;
        }
        self.duplicates = self.duplicates.saturating_add(1);
        let segments = outstanding.div_ceil(self.segment_max);
        let enough = segments.saturating_sub(1).clamp(1, DUPLICATES);
        if self.duplicates != enough {
            return 0;
        }
        self.point = Some(snd_nxt);
        DUPLICATES - enough
    }
}

/// Duplicates on which smoltcp retransmits (RFC 5681, 3.2).
const DUPLICATES: u32 = 3;

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;
    use crate::wire::segment::ACK;
    use crate::wire::tuple::Tuple;

    fn acknowledgement(number: u32) -> Segment {
        let nobody = (Ipv4Addr::UNSPECIFIED, 0);
        Segment {
            tuple: Tuple::new(nobody, nobody),
            sequence: 0,
            ack: number,
            flags: ACK,
            window: 500,
            payload_len: 0,
        }
    }

    /// Repetitions for a row of acknowledgements, `next` having been sent all along.
    fn repetitions(next: u32, numbers: &[u32]) -> Vec<u32> {
        let mut recovery = Recovery::new(1_000);
        let mut last = 0;
        numbers
            .iter()
            .map(|&number| {
                let again = recovery.on_acknowledgement(&acknowledgement(number), last, next);
                last = number;
                again
            })
            .collect()
    }

    #[test]
    fn in_a_long_window_smoltcp_counts_to_three_by_itself() {
        assert_eq!(repetitions(10_001, &[1, 1, 1, 1, 1, 1]), [0; 6]);
    }

    #[test]
    fn a_partial_acknowledgement_in_recovery_counts_as_three() {
        assert_eq!(repetitions(10_001, &[1, 1, 1, 1, 3_001, 7_001, 10_001]), [0, 0, 0, 0, 3, 3, 0]);
    }

    #[test]
    fn outside_recovery_an_advancing_acknowledgement_is_just_that() {
        assert_eq!(repetitions(10_001, &[1, 1_001, 2_001, 2_001, 3_001]), [0; 5]);
    }

    #[test]
    fn in_a_short_window_fewer_duplicates_are_enough() {
        assert_eq!(repetitions(3_001, &[1, 1, 1]), [0, 0, 1], "three segments: two duplicates");
        assert_eq!(repetitions(2_001, &[1, 1]), [0, 2], "two segments: one duplicate");
    }

    #[test]
    fn an_overtaken_acknowledgement_changes_nothing() {
        assert_eq!(repetitions(3_001, &[1_001, 1_001, 1]), [0, 2, 0]);
        assert_eq!(repetitions(10_001, &[1, 1, 1, 1, 3_001, 1]), [0, 0, 0, 0, 3, 0]);
    }

    #[test]
    fn a_window_update_or_data_is_no_duplicate() {
        let mut recovery = Recovery::new(1_000);
        assert_eq!(recovery.on_acknowledgement(&acknowledgement(1), 0, 2_001), 0);
        let update = Segment { window: 600, ..acknowledgement(1) };
        assert_eq!(recovery.on_acknowledgement(&update, 1, 2_001), 0);
        let data = Segment { payload_len: 5, ..update };
        assert_eq!(recovery.on_acknowledgement(&data, 1, 2_001), 0);
        assert_eq!(recovery.on_acknowledgement(&update, 1, 2_001), 2);
    }
}
