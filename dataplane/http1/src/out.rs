//! Where responses are written: a view of free room that the caller lends for one call.

/// Contiguous free room, filled from the front. `len() <= capacity` always.
#[derive(Debug)]
pub struct Out<'a> {
    room: &'a mut [u8],
    len: usize,
}

impl<'a> Out<'a> {
    /// Lends `room` (bytes) to one call of [`Conn::advance`](crate::Conn::advance).
    pub fn new(room: &'a mut [u8]) -> Self {
        Self { room, len: 0 }
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The part not yet written.
    pub fn free(&mut self) -> &mut [u8] {
        &mut self.room[self.len..]
    }

    /// Bytes of [`free`](Self::free).
    pub fn left(&self) -> usize {
        self.room.len() - self.len
    }

    /// `written` bytes of [`free`](Self::free) were filled.
    ///
    /// # Panics
    /// If that is more than were free.
    pub fn advance(&mut self, written: usize) {
        assert!(written <= self.left(), "more was written than there was room for");
        self.len += written;
    }
}
