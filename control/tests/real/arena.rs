//! `deploy/arena.toml` over a real link: every row of the workload, every answer compared with what the
//! test makes of the data itself.

use std::fs;
use std::path::Path;

use testkit::{Postgres, Rig, RigPlan, script};

use crate::kit::ServerPlan;
use crate::workload::{self, Crud, Shop, Table, Visitor};

#[test]
fn af_xdp_every_row() {
    Rig::run(RigPlan::VETH, |rig| {
        let shop = Shop::write(rig.scratch.path());
        let postgres = Postgres::seeded(&shop.seed());
        let server = plan("af_xdp:pollux0", "1", &script("deploy/arena.toml"), &shop, &postgres);
        let server = server.serve(rig);
        let random = &mut random();
        let visitor = &mut Visitor::new();
        workload::index(visitor);
        workload::pipeline(visitor);
        workload::caching(visitor);
        workload::sums(visitor, random, 200);
        workload::uploads(visitor, random, &[1, 512_000, 2 << 20, 20 << 20]);
        workload::whole(visitor, &shop);
        workload::every_pair(visitor, &shop);
        workload::random_pairs(visitor, &shop, random, 100);
        workload::compression(visitor, &shop);
        workload::codings_of_items(visitor, &shop);
        workload::static_files(visitor, &shop);
        workload::missing_files(visitor);
        for table in [Table::sqlite(&shop), Table::postgres(&postgres)] {
            workload::rows(visitor, &table, random, 40);
            workload::malformed_rows(visitor, &table);
        }
        let mut crud = Crud::new(&postgres);
        crud.lists(visitor, random, 40);
        crud.reads(visitor, random, 40);
        crud.keeps(visitor, random, 10);
        crud.updates(visitor, random, 40);
        crud.creates(visitor, random, 20);
        crud.races(visitor, random, 300);
        workload::methods(visitor);
        workload::heads(visitor);
        workload::unknown_paths(visitor);
        let stopped = server.stop(rig);
        let overtaken = stopped.stats.offload("cache_overtaken");
        println!("{} requests, {overtaken} overtaken", stopped.stats.total("requests"));
        assert!(overtaken > 0, "the races were run");
        assert_eq!(stopped.stats.total("responses_5xx"), 1, "the method that nobody knows");
    });
}

/// Prices with decimals, and everything coded for each request.
#[test]
fn af_xdp_per_request_with_decimals() {
    Rig::run(RigPlan::VETH, |rig| {
        let random = &mut random();
        let shop = Shop::write(rig.scratch.path()).with_decimals(random);
        let postgres = Postgres::seeded(&shop.seed());
        let config = per_request(rig.scratch.path());
        let server = plan("af_xdp:pollux0", "1", &config, &shop, &postgres).serve(rig);
        let visitor = &mut Visitor::new();
        workload::whole(visitor, &shop);
        workload::every_pair(visitor, &shop);
        workload::random_pairs(visitor, &shop, random, 100);
        workload::compression(visitor, &shop);
        workload::codings_of_items(visitor, &shop);
        workload::rows(visitor, &Table::sqlite(&shop), random, 40);
        workload::heads(visitor);
        let stopped = server.stop(rig);
        assert_eq!(stopped.stats.total("responses_5xx"), 0);
    });
}

/// The same data with decimals, coded once.
#[test]
fn af_packet_with_two_workers() {
    Rig::run(RigPlan::VETH, |rig| {
        let random = &mut random();
        let shop = Shop::write(rig.scratch.path()).with_decimals(random);
        let postgres = Postgres::seeded(&shop.seed());
        let config = script("deploy/arena.toml");
        let server = plan("af_packet:pollux0", "0,1", &config, &shop, &postgres).serve(rig);
        // A connection stays with its worker: several, until both were met.
        for _ in 0..4 {
            let visitor = &mut Visitor::new();
            workload::pipeline(visitor);
            workload::caching(visitor);
            workload::sums(visitor, random, 20);
            workload::uploads(visitor, random, &[512_000]);
            workload::whole(visitor, &shop);
            workload::random_pairs(visitor, &shop, random, 20);
            workload::compression(visitor, &shop);
            workload::static_files(visitor, &shop);
            for table in [Table::sqlite(&shop), Table::postgres(&postgres)] {
                workload::rows(visitor, &table, random, 10);
            }
            let crud = Crud::new(&postgres);
            crud.lists(visitor, random, 5);
            crud.keeps(visitor, random, 3);
            crud.updates(visitor, random, 5);
            crud.races(visitor, random, 100);
        }
        let met = server
            .stats_when("both workers", |stats| !stats.each("offloads_submitted").contains(&0));
        println!("asks of the workers: {:?}", met.each("offloads_submitted"));
        let stopped = server.stop(rig);
        assert_eq!(stopped.stats.total("responses_5xx"), 0);
    });
}

/// Without a configuration and without data the program serves the workload of its own sample.
#[test]
fn without_any_file_the_sample_is_served() {
    Rig::run(RigPlan::VETH, |rig| {
        let shop = Shop::write(rig.scratch.path());
        let postgres = Postgres::seeded(&shop.seed());
        let server = ServerPlan::af_xdp().with_env("DATABASE_URL", &postgres.url()).serve(rig);
        let random = &mut random();
        let visitor = &mut Visitor::new();
        workload::index(visitor);
        workload::whole(visitor, &shop);
        workload::random_pairs(visitor, &shop, random, 10);
        workload::compression(visitor, &shop);
        workload::static_files(visitor, &shop);
        for table in [Table::sqlite(&shop), Table::postgres(&postgres)] {
            workload::rows(visitor, &table, random, 10);
        }
        server.stop(rig);
    });
}

fn plan(link: &str, cores: &str, config: &Path, shop: &Shop, postgres: &Postgres) -> ServerPlan {
    let config = config.to_str().expect("a path in UTF-8");
    ServerPlan::new(link, cores)
        .with(&["--config", config, "--data", shop.directory()])
        .with_env("DATABASE_URL", &postgres.url())
        .with_env("DATABASE_MAX_CONN", "8")
}

/// `deploy/arena.toml` with its other way to compress.
fn per_request(scratch: &Path) -> std::path::PathBuf {
    let text = fs::read_to_string(script("deploy/arena.toml")).expect("is there");
    let changed = text.replace("compress = \"precomputed\"", "compress = \"per-request\"");
    assert_ne!(text, changed, "arena.toml compresses");
    let path = scratch.join("per-request.toml");
    fs::write(&path, changed).expect("writable");
    path
}

/// Printed, so that a failure can be had again.
fn random() -> fastrand::Rng {
    let seed = std::env::var("POLLUX_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("POLLUX_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}
