//! What the shell scripts that come with Pollux are called here, for messages that tell the operator to run one.
//!
//! The package and the image have them in the PATH, under names of their own, in `sbin` beside the `bin` of the
//! program. In a source tree they are named from its root.

use std::env;
use std::path::Path;
use std::sync::LazyLock;

/// A script that messages name; they show it as the operator types it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, derive_more::Display)]
pub(crate) enum Script {
    /// Reserves hugepages and gives them back.
    #[display("{}", *HUGEPAGES)]
    Hugepages,
    /// Makes the link between Pollux and the kernel of this machine.
    #[display("{}", *LINK)]
    Link,
}

impl Script {
    /// Its name in the PATH of a machine that it is installed on.
    const fn installed(self) -> &'static str {
        match self {
            Self::Hugepages => "pollux-hugepages",
            Self::Link => "pollux-link",
        }
    }

    /// Where it is in the source tree.
    const fn in_tree(self) -> &'static str {
        match self {
            Self::Hugepages => "./hugepages.sh",
            Self::Link => "deploy/link.sh",
        }
    }

    /// What it is called where the program is `executable`.
    fn beside(self, executable: &Path) -> &'static str {
        let prefix = executable.parent().and_then(Path::parent);
        if prefix.is_some_and(|prefix| prefix.join("sbin").join(self.installed()).exists()) {
            self.installed()
        } else {
            self.in_tree()
        }
    }
}

static HUGEPAGES: LazyLock<&str> = LazyLock::new(|| here(Script::Hugepages));
static LINK: LazyLock<&str> = LazyLock::new(|| here(Script::Link));

fn here(script: Script) -> &'static str {
    // Linux adds " (deleted)" to the name of a program that was replaced, and leaves its directory.
    env::current_exe().map_or_else(|_| script.in_tree(), |executable| script.beside(&executable))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn scripts_have_the_names_of_the_place_that_the_program_is_in() {
        let root = tempfile::tempdir().expect("writable");
        let sbin = root.path().join("usr/sbin");
        fs::create_dir_all(&sbin).expect("writable");
        let program = root.path().join("usr/bin/pollux");
        assert_eq!(Script::Hugepages.beside(&program), "./hugepages.sh");
        assert_eq!(Script::Link.beside(&program), "deploy/link.sh");
        fs::write(sbin.join("pollux-hugepages"), "").expect("writable");
        assert_eq!(Script::Hugepages.beside(&program), "pollux-hugepages");
        assert_eq!(Script::Link.beside(&program), "deploy/link.sh");
        fs::write(sbin.join("pollux-link"), "").expect("writable");
        assert_eq!(Script::Link.beside(&program), "pollux-link");
        let replaced = root.path().join("usr/bin/pollux (deleted)");
        assert_eq!(Script::Link.beside(&replaced), "pollux-link");
        assert_eq!(Script::Link.beside(Path::new("pollux")), "deploy/link.sh");
    }
}
