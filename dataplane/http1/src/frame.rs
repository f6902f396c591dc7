//! What a well-formed head means to the protocol: method, target, host, framing, persistence.

use crate::head::Head;
use crate::list;
use crate::{BodyLen, Connection, Limits, Method, Reject, Request, Version};
use crate::{authority, target};

/// A valid request, and what the protocol itself has to remember of it.
#[derive(Debug)]
pub(crate) struct Framed<'a> {
    pub(crate) request: Request<'a>,
    pub(crate) connection: Connection,
    /// The client waits for `100 Continue` before it sends the body.
    pub(crate) expects_continue: bool,
}

/// Validates `head`. Framing is refused when in doubt, never repaired.
#[inline]
pub(crate) fn validate<'a>(head: &Head<'a>, limits: &Limits) -> Result<Framed<'a>, Reject> {
    let method = Method::from_name(head.method).ok_or(Reject::UnknownMethod)?;
    let (target, authority) = target::parse(head.target, method)?;
    let known = Known::collect(head)?;
    let host = match known.host {
        Some(host) if !authority::is_valid(host) => return Err(Reject::BadHost),
        None if head.version == Version::Http11 => return Err(Reject::HostMissing),
        //= RFC 9112 3.2.2: the authority of an absolute-form target overrides Host.
        host => authority.or(host),
    };
    let body_len = known.body_len(head.version)?;
    if matches!(body_len, BodyLen::Length(len) if len > limits.body_len_max) {
        return Err(Reject::BodyTooLarge);
    }
    Ok(Framed {
        connection: known.connection(head.version),
        //= RFC 9110 10.1.1: an expectation in an HTTP/1.0 request is ignored.
        expects_continue: known.expects_continue && head.version == Version::Http11,
        request: Request {
            method,
            target,
            version: head.version,
            host,
            body_len,
            fields: head.fields,
        },
    })
}

/// The fields that concern the protocol, gathered in one walk over the head.
#[derive(Default)]
struct Known<'a> {
    host: Option<&'a [u8]>,
    length: Option<&'a [u8]>,
    codings: Option<Codings>,
    has_close: bool,
    has_keep_alive: bool,
    expects_continue: bool,
}

impl<'a> Known<'a> {
    #[inline]
    fn collect(head: &Head<'a>) -> Result<Self, Reject> {
        let mut known = Self::default();
        for field in head.fields {
            // Most fields are none of these, and their length says so.
            let is = |name: &str| field.name.eq_ignore_ascii_case(name);
            match field.name.len() {
                4 if is("host") => known.set_host(field.value)?,
                6 if is("expect") => known.add_expectations(field.value, head.version)?,
                10 if is("connection") => known.add_connection_options(field.value),
                14 if is("content-length") => known.set_length(field.value)?,
                17 if is("transfer-encoding") => {
                    known.codings.get_or_insert_default().add(field.value)?;
                }
                _ => {}
            }
        }
        Ok(known)
    }

    fn set_host(&mut self, value: &'a [u8]) -> Result<(), Reject> {
        self.host.replace(value).map_or(Ok(()), |_| Err(Reject::HostRepeated))
    }

    //= RFC 9110 8.6: repeated lines may be collapsed if they agree, or refused; we refuse.
    fn set_length(&mut self, value: &'a [u8]) -> Result<(), Reject> {
        self.length.replace(value).map_or(Ok(()), |_| Err(Reject::BadLength))
    }

    fn add_expectations(&mut self, value: &[u8], version: Version) -> Result<(), Reject> {
        for expectation in list::elements(value) {
            if expectation.eq_ignore_ascii_case(b"100-continue") {
                self.expects_continue = true;
            } else if version == Version::Http11 {
                return Err(Reject::UnknownExpectation);
            }
        }
        Ok(())
    }

    fn add_connection_options(&mut self, value: &[u8]) {
        for option in list::elements(value) {
            self.has_close |= option.eq_ignore_ascii_case(b"close");
            self.has_keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// RFC 9112 6.3.
    fn body_len(&self, version: Version) -> Result<BodyLen, Reject> {
        match (&self.codings, self.length) {
            (None, None) => Ok(BodyLen::None),
            (None, Some(digits)) => Ok(BodyLen::Length(parse_length(digits)?)),
            //= RFC 9112 6.1: Transfer-Encoding in HTTP/1.0 is to be treated as faulty framing.
            (Some(_), _) if version == Version::Http10 => Err(Reject::CodingInHttp10),
            //= RFC 9112 6.3: both together ought to be handled as an error; we refuse.
            (Some(_), Some(_)) => Err(Reject::LengthAndCoding),
            (Some(codings), None) => codings.body_len(),
        }
    }

    /// RFC 9112 9.3.
    fn connection(&self, version: Version) -> Connection {
        match version {
            _ if self.has_close => Connection::Close,
            Version::Http11 => Connection::Implicit,
            Version::Http10 if self.has_keep_alive => Connection::KeepAlive,
            Version::Http10 => Connection::Close,
        }
    }
}

/// The transfer codings of a request, in all its Transfer-Encoding lines.
#[derive(Default)]
struct Codings {
    count: u32,
    unknown: u32,
    ends_in_chunked: bool,
}

impl Codings {
    fn add(&mut self, value: &[u8]) -> Result<(), Reject> {
        for coding in list::elements(value) {
            self.count += 1;
            self.ends_in_chunked = coding.eq_ignore_ascii_case(b"chunked");
            if self.ends_in_chunked {
                continue;
            }
            //= RFC 9112 7.1: parameters of chunked SHOULD be treated as an error.
            let name = coding.split(|&b| b == b';').next().map_or(coding, list::trim_ows);
            if name.eq_ignore_ascii_case(b"chunked") {
                return Err(Reject::BadCoding);
            }
            self.unknown += 1;
        }
        Ok(())
    }

    /// Only `chunked`, once, is framing that this server reads.
    fn body_len(&self) -> Result<BodyLen, Reject> {
        match (self.ends_in_chunked, self.count, self.unknown) {
            (true, 1, _) => Ok(BodyLen::Chunked),
            //= RFC 9112 6.1: a transfer coding that is not understood SHOULD be answered 501.
            (true, count, unknown) if count == unknown + 1 => Err(Reject::UnknownCoding),
            (false, 1, _) => Err(Reject::UnknownCoding),
            //= RFC 9112 6.3: chunked not final: the length cannot be determined, 400.
            _ => Err(Reject::BadCoding),
        }
    }
}

/// `1*DIGIT` in its only canonical spelling: no sign, no list, no leading zero.
fn parse_length(digits: &[u8]) -> Result<u64, Reject> {
    if matches!(digits, [] | [b'0', _, ..]) {
        return Err(Reject::BadLength);
    }
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(Reject::BadLength);
    }
    //= RFC 9110 8.6: anticipate large numerals and prevent integer overflow. A number that no count of
    //= bytes can be is no length (400), not one of a body that is too large (413).
    digits
        .iter()
        .try_fold(0u64, |len, digit| len.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
        .ok_or(Reject::BadLength)
}
