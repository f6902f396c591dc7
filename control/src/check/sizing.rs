//! What a configuration takes of the machine for other numbers of connections.

use std::collections::BTreeSet;

use crate::config::Plan;
use crate::human;
use crate::launch::MemoryRequirement;
use crate::memory::HugepagePool;

/// A table of plans that differ from `plan` only in their connections, its own among them.
pub(super) fn table(plan: &Plan, store: usize, pool: HugepagePool) -> String {
    // Where this kernel has no hugepages, those of 2 MiB are counted.
    let page = if pool.page == 0 { PAGE } else { pool.page };
    let pool = HugepagePool { page, ..pool };
    let all: BTreeSet<usize> = CONNECTIONS.iter().copied().chain([plan.connections]).collect();
    let mut text = format!(
        "{} core{}, {} + {} bytes of socket buffers a connection, {} of responses, hugepages of {}\n\n",
        plan.cores.len(),
        if plan.cores.len() == 1 { "" } else { "s" },
        plan.tally.receive_buffer,
        plan.tally.transmit_buffer,
        human::bytes(store as u64),
        human::bytes(page),
    );
    text.push_str(&row(["CONNECTIONS", "MBUFS", "FRAMES", "SOCKET BUFFERS", "HUGEPAGES"]));
    for connections in all {
        let requirement = MemoryRequirement::of(&plan.with_connections(connections), store, pool);
        let cells = [
            connections.to_string(),
            requirement.mbufs.to_string(),
            human::bytes(requirement.frames),
            human::bytes(requirement.buffers),
            requirement.pages().to_string(),
        ];
        text.push_str(&row(cells.each_ref().map(String::as_str)));
    }
    text
}

fn row(cells: [&str; 5]) -> String {
    let [connections, mbufs, frames, buffers, pages] = cells;
    format!("{connections:>11}  {mbufs:>7}  {frames:>10}  {buffers:>14}  {pages:>9}\n")
}

const CONNECTIONS: &[usize] = &[1_024, 4_096, 16_384, 65_536, 262_144];
const PAGE: u64 = 2 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::cores::HostCores;

    #[test]
    fn the_plan_itself_is_a_row_that_says_what_check_says() {
        let mut config = Config::default();
        for assignment in ["cores.workers=0-2", "limits.connections=3000"] {
            config.assign(assignment).expect("is a key");
        }
        let host = HostCores::of(vec![0, 1, 2, 3]).expect("not empty");
        let plan = Plan::check(&config, &host).expect("is a plan");
        let pool = HugepagePool::default();
        let table = table(&plan, 5 << 20, pool);
        let numbers: Vec<_> = table
            .lines()
            .skip(3)
            .map(|line| line.split_whitespace().next().unwrap_or_default())
            .collect();
        assert_eq!(numbers, ["1024", "3000", "4096", "16384", "65536", "262144"]);
        let own = table.lines().find(|line| line.trim_start().starts_with("3000 "));
        let requirement =
            MemoryRequirement::of(&plan, 5 << 20, HugepagePool { page: PAGE, ..pool });
        let pages = own.and_then(|line| line.split_whitespace().last());
        assert_eq!(pages, Some(requirement.pages().to_string().as_str()), "{table}");
        assert!(table.starts_with("3 cores, "), "{table}");
    }
}
