//! Status codes (RFC 9110 15) with their registered reason phrases.

/// Declares the codes once: the enum, its list and its phrases cannot disagree.
macro_rules! statuses {
    ($($name:ident = $code:literal $reason:literal,)+) => {
        /// A final status code. The variants are named by their number.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Status {
            $(#[doc = concat!("`", stringify!($code), " ", $reason, "`")] $name = $code,)+
        }

        impl Status {
            /// Every status this crate knows, in ascending order.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The registered reason phrase, without the code.
            pub const fn reason(self) -> &'static str {
                match self {
                    $(Self::$name => $reason,)+
                }
            }
        }
    };
}

statuses! {
    S200 = 200 "OK",
    S201 = 201 "Created",
    S202 = 202 "Accepted",
    S204 = 204 "No Content",
    S206 = 206 "Partial Content",
    S301 = 301 "Moved Permanently",
    S302 = 302 "Found",
    S303 = 303 "See Other",
    S304 = 304 "Not Modified",
    S307 = 307 "Temporary Redirect",
    S308 = 308 "Permanent Redirect",
    S400 = 400 "Bad Request",
    S401 = 401 "Unauthorized",
    S403 = 403 "Forbidden",
    S404 = 404 "Not Found",
    S405 = 405 "Method Not Allowed",
    S406 = 406 "Not Acceptable",
    S408 = 408 "Request Timeout",
    S409 = 409 "Conflict",
    S410 = 410 "Gone",
    S411 = 411 "Length Required",
    S412 = 412 "Precondition Failed",
    S413 = 413 "Content Too Large",
    S414 = 414 "URI Too Long",
    S415 = 415 "Unsupported Media Type",
    S416 = 416 "Range Not Satisfiable",
    S417 = 417 "Expectation Failed",
    S421 = 421 "Misdirected Request",
    S422 = 422 "Unprocessable Content",
    S429 = 429 "Too Many Requests",
    S431 = 431 "Request Header Fields Too Large",
    S500 = 500 "Internal Server Error",
    S501 = 501 "Not Implemented",
    S503 = 503 "Service Unavailable",
    S504 = 504 "Gateway Timeout",
    S505 = 505 "HTTP Version Not Supported",
}

impl Status {
    /// The three-digit code.
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The first digit: 2 for success, 3 redirection, 4 the client's fault, 5 ours.
    pub const fn class(self) -> u16 {
        self.code() / 100
    }
}

#[cfg(test)]
mod tests {
    use super::Status;

    #[test]
    fn list_is_ascending_and_final() {
        assert!(Status::ALL.is_sorted());
        for status in Status::ALL {
            assert!((2..=5).contains(&status.class()), "{status:?} is not a final status");
            assert!(!status.reason().is_empty(), "{status:?} has no reason phrase");
        }
        assert_eq!((Status::S404.code(), Status::S404.reason()), (404, "Not Found"));
    }
}
