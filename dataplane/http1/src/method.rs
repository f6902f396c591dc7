//! Request methods (RFC 9110 9).

/// A method that a service may be asked for. Names are case-sensitive (RFC 9110 9.1).
///
/// CONNECT and TRACE are missing on purpose: an origin server that is no proxy and does not echo
/// refuses both, like any unknown method, with 501 (RFC 9110 9.3.6, 9.3.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// RFC 9110 9.3.1
    Get,
    /// RFC 9110 9.3.2: answered like GET, without the body.
    Head,
    /// RFC 9110 9.3.3
    Post,
    /// RFC 9110 9.3.4
    Put,
    /// RFC 9110 9.3.5
    Delete,
    /// RFC 9110 9.3.7
    Options,
    /// RFC 5789
    Patch,
}

impl Method {
    /// Every method, in the order of their discriminants from 0.
    pub const ALL: &[Self] =
        &[Self::Get, Self::Head, Self::Post, Self::Put, Self::Delete, Self::Options, Self::Patch];

    /// The method as it stands in a request line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Patch => "PATCH",
        }
    }

    /// The inverse of [`name`](Self::name); `None` for every other token.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        match name {
            b"GET" => Some(Self::Get),
            b"HEAD" => Some(Self::Head),
            b"POST" => Some(Self::Post),
            b"PUT" => Some(Self::Put),
            b"DELETE" => Some(Self::Delete),
            b"OPTIONS" => Some(Self::Options),
            b"PATCH" => Some(Self::Patch),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Method;

    #[test]
    fn names_round_trip() {
        for &method in Method::ALL {
            assert_eq!(Method::from_name(method.name().as_bytes()), Some(method));
        }
        for other in ["get", "Get", "GE", "GETS", "", "CONNECT", "TRACE", "PRI"] {
            assert_eq!(Method::from_name(other.as_bytes()), None, "{other}");
        }
    }
}
