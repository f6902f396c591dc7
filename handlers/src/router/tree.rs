//! Paths with captures, and paths that stand for what is below them: a tree of segments.
//!
//! All children of all nodes are in one hash table, keyed by node and segment: a step is one probe,
//! however many routes there are. A search visits no node twice.

use crate::hash::hash;

use super::hit::{Captures, Hit};
use super::pattern::{Pattern, Segment};

/// Patterns and what they lead to.
pub(super) struct Tree {
    nodes: Vec<Node>,
    /// Open addressing, half of the slots or more free.
    children: Vec<Option<Child>>,
    children_len: usize,
}

#[derive(Default)]
struct Node {
    /// What the path that ends here leads to.
    here: Option<u32>,
    /// What everything below leads to.
    below: Option<u32>,
    /// The child for any segment.
    capture: Option<u32>,
}

struct Child {
    parent: u32,
    segment: Box<[u8]>,
    node: u32,
}

/// What one search remembers.
struct Walk {
    path_len: usize,
    captures: Captures,
    /// The first that stands for what is below it.
    fallback: Option<Hit>,
}

const ROOT: u32 = 0;

/// What is left of a path: the segments not yet looked at, if there are any.
type Rest<'p> = Option<&'p [u8]>;

impl Tree {
    /// A tree of these patterns, no two of the same shape.
    pub(super) fn new<'p>(patterns: impl IntoIterator<Item = (&'p Pattern, u32)>) -> Self {
        let mut tree = Self { nodes: vec![Node::default()], children: vec![], children_len: 0 };
        tree.grow();
        for (pattern, target) in patterns {
            let mut at = ROOT;
            for segment in &pattern.segments {
                at = match segment {
                    Segment::Text(text) => tree.text_child(at, text.as_bytes()),
                    Segment::Capture(_) => tree.capture_child(at),
                };
            }
            let node = &mut tree.nodes[at as usize];
            let place = if pattern.below { &mut node.below } else { &mut node.here };
            debug_assert!(place.is_none(), "no two patterns of one shape");
            *place = Some(target);
        }
        tree
    }

    /// What a path leads to. A pattern that ends where the path ends comes before one that stands for
    /// what is below it; then a text before a capture, from the left; then the longer.
    pub(super) fn find(&self, path: &[u8]) -> Option<Hit> {
        let rest = path.strip_prefix(b"/")?;
        let mut walk = Walk { path_len: path.len(), captures: Captures::default(), fallback: None };
        match self.walk(ROOT, Some(rest), &mut walk) {
            Some(target) => Some(Hit { target, captures: walk.captures }),
            None => walk.fallback,
        }
    }

    fn walk(&self, at: u32, rest: Rest<'_>, walk: &mut Walk) -> Option<u32> {
        let node = &self.nodes[at as usize];
        let Some(rest) = rest else { return node.here };
        let (segment, after) = split(rest);
        if let Some(child) = self.child(at, segment)
            && let Some(target) = self.walk(child, after, walk)
        {
            return Some(target);
        }
        if let Some(child) = node.capture
            && !segment.is_empty()
        {
            walk.captures.push(walk.path_len - rest.len(), segment.len());
            if let Some(target) = self.walk(child, after, walk) {
                return Some(target);
            }
            walk.captures.pop();
        }
        if let Some(target) = node.below
            && walk.fallback.is_none()
        {
            walk.fallback = Some(Hit { target, captures: walk.captures });
        }
        None
    }

    fn child(&self, parent: u32, segment: &[u8]) -> Option<u32> {
        self.children[self.slot(parent, segment)].as_ref().map(|child| child.node)
    }

    fn capture_child(&mut self, parent: u32) -> u32 {
        if let Some(child) = self.nodes[parent as usize].capture {
            return child;
        }
        let child = self.add_node();
        self.nodes[parent as usize].capture = Some(child);
        child
    }

    fn text_child(&mut self, parent: u32, segment: &[u8]) -> u32 {
        if let Some(child) = self.child(parent, segment) {
            return child;
        }
        let node = self.add_node();
        if (self.children_len + 1) * 2 > self.children.len() {
            self.grow();
        }
        let slot = self.slot(parent, segment);
        self.children[slot] = Some(Child { parent, segment: segment.into(), node });
        self.children_len += 1;
        node
    }

    fn add_node(&mut self) -> u32 {
        self.nodes.push(Node::default());
        u32::try_from(self.nodes.len() - 1).expect("fewer than 2^32 segments")
    }

    fn grow(&mut self) {
        let size = (self.children.len() * 2).max(8);
        let old = std::mem::take(&mut self.children);
        self.children.resize_with(size, || None);
        for child in old.into_iter().flatten() {
            let slot = self.slot(child.parent, &child.segment);
            self.children[slot] = Some(child);
        }
    }

    /// The slot where a child is, or the free one where it would be.
    fn slot(&self, parent: u32, segment: &[u8]) -> usize {
        let mask = self.children.len() - 1;
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are all that is wanted")]
        let mut at =
            hash(segment).wrapping_add(u64::from(parent).wrapping_mul(MULTIPLIER)) as usize;
        at &= mask;
        let differs = |child: &Child| child.parent != parent || *child.segment != *segment;
        while self.children[at].as_ref().is_some_and(differs) {
            at = (at + 1) & mask;
        }
        at
    }
}

/// The first segment, and what comes after its slash.
fn split(rest: &[u8]) -> (&[u8], Rest<'_>) {
    match rest.iter().position(|&byte| byte == b'/') {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    }
}

/// Keeps the children of neighbouring nodes apart: odd, and near the golden section of 2^64.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
