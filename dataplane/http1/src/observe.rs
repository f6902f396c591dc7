//! What a caller may count.

use crate::{Class, Reject, Status};

/// Notified of every exchange, in the order of the connection. `()` counts nothing.
pub trait Observer {
    /// A request head was complete and valid, framing included, and the service has put it in `class`.
    fn on_request(&mut self, class: Class);
    /// The head of a final response was written. Not called for interim responses.
    fn on_response(&mut self, status: Status);
    /// The last byte of a final response was written, head or body.
    fn on_response_end(&mut self);
    /// The protocol refused a request; [`on_response`](Self::on_response) follows unless the
    /// connection is lost before the response finds room.
    fn on_reject(&mut self, reject: Reject);
}

impl Observer for () {
    fn on_request(&mut self, _class: Class) {}
    fn on_response(&mut self, _status: Status) {}
    fn on_response_end(&mut self) {}
    fn on_reject(&mut self, _reject: Reject) {}
}
