//! Request targets (RFC 9112 3.2).

use crate::authority;
use crate::{Method, Reject};

/// What is asked for, whichever form it was sent in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// `OPTIONS *`: the server as a whole (RFC 9112 3.2.4).
    Asterisk,
    /// Origin-form, or absolute-form with scheme and authority taken off.
    Path {
        /// As sent, nothing decoded or normalised. Starts with `/`.
        path: &'a [u8],
        /// What follows the first `?`, as sent.
        query: Option<&'a [u8]>,
    },
}

impl<'a> Target<'a> {
    /// The path, `*` for the server as a whole.
    pub fn path(&self) -> &'a [u8] {
        match self {
            Self::Asterisk => b"*",
            Self::Path { path, .. } => path,
        }
    }

    /// What follows the first `?`.
    pub fn query(&self) -> Option<&'a [u8]> {
        match self {
            Self::Asterisk => None,
            Self::Path { query, .. } => *query,
        }
    }
}

/// Parses `target` (visible ASCII) as sent with `method`: what is asked for, and the authority if
/// the target is in absolute-form.
pub(crate) fn parse(target: &[u8], method: Method) -> Result<(Target<'_>, Option<&[u8]>), Reject> {
    match target {
        [b'/', ..] => Ok((split_query(target)?, None)),
        b"*" if method == Method::Options => Ok((Target::Asterisk, None)),
        _ => parse_absolute(target, method),
    }
}

fn parse_absolute(target: &[u8], method: Method) -> Result<(Target<'_>, Option<&[u8]>), Reject> {
    let after_scheme = strip_prefix_ignore_case(target, b"http://")
        .or_else(|| strip_prefix_ignore_case(target, b"https://"))
        .ok_or(Reject::BadTarget)?;
    let end = after_scheme.iter().position(|b| matches!(b, b'/' | b'?' | b'#'));
    let (authority, rest) = after_scheme.split_at(end.unwrap_or(after_scheme.len()));
    //= RFC 9110 4.2.1: an http URI with an empty host is to be rejected.
    if matches!(authority, [] | [b':', ..]) || !authority::is_valid(authority) {
        return Err(Reject::BadTarget);
    }
    let target = match rest {
        //= RFC 9112 3.2.4: OPTIONS with neither path nor query means the server as a whole.
        [] if method == Method::Options => Target::Asterisk,
        [] => Target::Path { path: b"/", query: None },
        [b'?', query @ ..] if !query.contains(&b'#') => {
            Target::Path { path: b"/", query: Some(query) }
        }
        [b'/', ..] => split_query(rest)?,
        _ => return Err(Reject::BadTarget),
    };
    Ok((target, Some(authority)))
}

/// Cuts at the first `?`. A fragment is no part of a request target (RFC 9112 3.2.1).
fn split_query(target: &[u8]) -> Result<Target<'_>, Reject> {
    let mut question = None;
    for (at, &byte) in target.iter().enumerate() {
        match byte {
            b'?' if question.is_none() => question = Some(at),
            b'#' => return Err(Reject::BadTarget),
            _ => {}
        }
    }
    Ok(match question {
        Some(at) => Target::Path { path: &target[..at], query: Some(&target[at + 1..]) },
        None => Target::Path { path: target, query: None },
    })
}

fn strip_prefix_ignore_case<'a>(text: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::{Target, parse};
    use crate::{Method, Reject};

    fn path<'a>(path: &'a str, query: Option<&'a str>) -> Target<'a> {
        Target::Path { path: path.as_bytes(), query: query.map(str::as_bytes) }
    }

    #[test]
    fn origin_form_is_cut_at_the_first_question_mark() {
        for (sent, want) in [
            ("/", path("/", None)),
            ("/a/b", path("/a/b", None)),
            ("/a?", path("/a", Some(""))),
            ("/a?b?c", path("/a", Some("b?c"))),
            ("//x/y", path("//x/y", None)),
        ] {
            assert_eq!(parse(sent.as_bytes(), Method::Get), Ok((want, None)), "{sent}");
        }
    }

    #[test]
    fn absolute_form_gives_its_authority() {
        for (sent, want, authority) in [
            ("http://h/a?b", path("/a", Some("b")), "h"),
            ("HTTP://h:80", path("/", None), "h:80"),
            ("https://[::1]:8/x", path("/x", None), "[::1]:8"),
            ("http://h?q", path("/", Some("q")), "h"),
        ] {
            let want = Ok((want, Some(authority.as_bytes())));
            assert_eq!(parse(sent.as_bytes(), Method::Get), want, "{sent}");
        }
    }

    #[test]
    fn asterisk_belongs_to_options() {
        assert_eq!(parse(b"*", Method::Options), Ok((Target::Asterisk, None)));
        assert_eq!(parse(b"http://h", Method::Options), Ok((Target::Asterisk, Some(&b"h"[..]))));
        assert_eq!(parse(b"*", Method::Get), Err(Reject::BadTarget));
    }

    #[test]
    fn other_forms_are_refused() {
        for sent in [
            "a",
            "h:80",
            "*a",
            "ftp://h/",
            "http:/h/",
            "http://",
            "http:///a",
            "http://:80/",
            "http://u@h/",
            "http://h/#f",
            "http://h#f",
            "http://h?q#f",
            "/a#f",
            "?a",
            "",
        ] {
            assert_eq!(parse(sent.as_bytes(), Method::Get), Err(Reject::BadTarget), "{sent}");
        }
    }
}
