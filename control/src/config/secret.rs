//! Values that no message shows: what may be a password.

use super::Key;

/// Stands for a value that is nobody's business.
pub(super) const HIDDEN: &str = "(not shown)";

/// The value of `key` as messages quote it.
pub(super) fn quote(key: Key, value: &str) -> String {
    if key.is_shown() { conceal(value) } else { HIDDEN.into() }
}

/// `text` as messages quote it: nothing of it if it looks like a connection string with a password, whatever
/// it was written as (a key in the wrong section, say); of a device argument not the value of `secret`.
pub(crate) fn conceal(text: &str) -> String {
    let after_scheme = text.split_once("://").map(|(_, after)| after);
    if after_scheme.is_some_and(|after| after.contains('@')) || text.contains("password") {
        return HIDDEN.into();
    }
    let Some((before, after)) = text.split_once(SECRET) else { return text.to_owned() };
    let rest = after.find([',', '"', ' ']).map_or("", |end| &after[end..]);
    format!("{before}{SECRET}{HIDDEN}{}", conceal(rest))
}

/// What DPDK's memif driver calls the word that both ends must know.
const SECRET: &str = "secret=";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_password_is_not_quoted() {
        for text in [
            "postgres://me:s3cret@h/d",
            "postgresql://h/d?password=s3cret",
            "\"host=h password='s3cret'\"",
            "postgres.url:postgres://me:s3cret@h/d",
        ] {
            assert_eq!(conceal(text), HIDDEN, "{text}");
        }
        assert_eq!(
            conceal("net_memif0,secret=s3cret,role=client"),
            "net_memif0,secret=(not shown),role=client"
        );
        assert_eq!(conceal("net_memif0,secret=s3cret"), "net_memif0,secret=(not shown)");
        assert_eq!(quote(Key::PostgresUrl, "s3cret"), HIDDEN);
    }

    #[test]
    fn all_else_is_quoted_as_it_is() {
        for text in ["af_xdp:pollux0", "http://198.18.0.2:8080/", "a@b", ""] {
            assert_eq!(conceal(text), text);
        }
        assert_eq!(quote(Key::LinkDevice, "tap:x"), "tap:x");
    }
}
