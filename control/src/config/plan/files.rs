//! Which files of a directory are served.

use super::super::units::Expected;
use super::super::{ConfigError, Key};
use super::reader::Reader;
use super::word;

/// Which files of the directories of routes are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FilesPlan {
    /// What symbolic links may lead to.
    pub(crate) links: Links,
    /// What becomes of a name that cannot be served.
    pub(crate) unreadable: Unreadable,
    /// Which names that begin with a dot are served.
    pub(crate) dot_names: DotNames,
}

/// What a symbolic link below a directory may lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString)]
#[strum(serialize_all = "lowercase")]
pub(crate) enum Links {
    /// What is below the same directory.
    Within,
    /// Anything.
    Follow,
}

/// What becomes of a name that leads to no file that can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString)]
#[strum(serialize_all = "lowercase")]
pub(crate) enum Unreadable {
    /// Nothing is served.
    Refuse,
    /// The others are served.
    Skip,
}

/// The names beginning with a dot that are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DotNames {
    /// All of them.
    All,
    /// These, with everything below those that are directories.
    These(Vec<String>),
}

impl DotNames {
    /// Whether a file or directory of this name is served.
    pub(crate) fn has(&self, name: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::These(names) => names.iter().any(|served| served.as_bytes() == name),
        }
    }

    fn parse(text: &str) -> Result<Self, Expected> {
        const EXPECTED: Expected = Expected(
            "names that begin with a dot such as \".well-known\", separated by commas; \"*\" for all, or \"\" \
             for none",
        );
        if text == "*" {
            return Ok(Self::All);
        }
        let names = text.split(',').map(str::trim).filter(|_| !text.is_empty());
        let is_name = |name: &str| {
            name.len() > 1 && name.starts_with('.') && name != ".." && !name.contains('/')
        };
        let name = |name: &str| is_name(name).then(|| name.to_owned()).ok_or(EXPECTED);
        names.map(name).collect::<Result<_, _>>().map(Self::These)
    }
}

impl Reader<'_> {
    /// The section `[files]`.
    pub(super) fn files(&self) -> Result<FilesPlan, ConfigError> {
        Ok(FilesPlan {
            links: self.with(Key::FilesLinks, |text| word(text, "within or follow"))?,
            unreadable: self.with(Key::FilesUnreadable, |text| word(text, "refuse or skip"))?,
            dot_names: self.with(Key::FilesDotNames, DotNames::parse)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_names_are_a_list() {
        let these = |names: &[&str]| {
            Ok(DotNames::These(names.iter().map(|name| (*name).to_owned()).collect()))
        };
        assert_eq!(DotNames::parse("*"), Ok(DotNames::All));
        assert_eq!(DotNames::parse(""), these(&[]));
        assert_eq!(DotNames::parse(".well-known, .a"), these(&[".well-known", ".a"]));
        for wrong in ["well-known", ".", "..", ".a/b", ".a,", "*,.a"] {
            assert!(DotNames::parse(wrong).is_err(), "{wrong}");
        }
    }
}
