//! The interfaces of a NIC, and everything that is made on them, in whichever namespace it is.

use super::snapshot::{Namespace, NetLink, PciDevice, Snapshot};

/// A NIC with its interfaces: those of the device itself first, then those above.
pub(crate) struct Port<'a> {
    links: Vec<(usize, &'a NetLink)>,
    own: usize,
}

impl<'a> Port<'a> {
    /// Finds them.
    pub(crate) fn new(snapshot: &'a Snapshot, device: &PciDevice) -> Self {
        let all: Vec<_> = snapshot
            .namespaces
            .iter()
            .enumerate()
            .flat_map(|(at, namespace)| namespace.links.iter().map(move |link| (at, link)))
            .collect();
        let of_device =
            |link: &NetLink| link.parent.as_ref().is_some_and(|parent| device.is_parent(parent));
        let mut links: Vec<_> = all.iter().copied().filter(|(_, link)| of_device(link)).collect();
        let own = links.len();
        let mut next = 0;
        while let Some(&below) = links.get(next) {
            next += 1;
            for &above in all.iter().filter(|above| stands_on(**above, below)) {
                let known = links.iter().any(|link| is_same(*link, above));
                if !known {
                    links.push(above);
                }
            }
        }
        Self { links, own }
    }

    /// Interfaces of the device itself, each with the number of its namespace.
    pub(crate) fn own(&self) -> impl Iterator<Item = (usize, &'a NetLink)> {
        self.links[..self.own].iter().copied()
    }

    /// Interfaces above them.
    pub(crate) fn above(&self) -> impl Iterator<Item = (usize, &'a NetLink)> {
        self.links[self.own..].iter().copied()
    }

    /// The interface of this number, if it is one of these.
    pub(crate) fn carries(&self, namespace: usize, index: u32) -> Option<&'a NetLink> {
        let found = self.links.iter().find(|(at, link)| *at == namespace && link.index == index);
        found.map(|(_, link)| *link)
    }

    /// Whether any of them is in this namespace.
    pub(crate) fn is_in(&self, namespace: usize) -> bool {
        self.links.iter().any(|(at, _)| *at == namespace)
    }
}

/// An interface for messages, with its namespace unless that is ours.
pub(crate) fn spell_link(namespace: &Namespace, link: &NetLink) -> String {
    if namespace.name == HERE {
        link.name.clone()
    } else {
        format!("{} in {}", link.name, namespace.name)
    }
}

/// What the namespace of this process is called.
pub(crate) const HERE: &str = "this namespace";

fn is_same(a: (usize, &NetLink), b: (usize, &NetLink)) -> bool {
    a.0 == b.0 && a.1.index == b.1.index
}

/// Whether `above` is made on `below`, or has it as a member.
fn stands_on(above: (usize, &NetLink), below: (usize, &NetLink)) -> bool {
    let ((place, upper), (ground, lower)) = (above, below);
    let member = place == ground && lower.master == Some(upper.index);
    let on = upper.lower == Some(lower.index)
        && if upper.lower_elsewhere { place != ground } else { place == ground }
        // The other end of a pair is reported like a lower interface, and is none.
        && !matches!(upper.kind.as_deref(), Some("veth" | "netkit"));
    (member || on) && !is_same(above, below)
}
