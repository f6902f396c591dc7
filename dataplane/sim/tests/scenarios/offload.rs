//! Requests that are offloaded to control, and services that control installs while others are in use.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use engine::ConnId as OffloadId;
use engine::control_queue::{Command, ControlEnd};
use http1::Status;
use sim::{
    Bulk, BulkResponse, ConnId, Digest, Phase, Reading, Setup, World, download_byte, for_seeds,
};

const MILLI: u64 = 1_000;
const SECOND: u64 = 1_000 * MILLI;

/// Shared between the test and the control that it plays.
#[derive(Default)]
struct TestState {
    /// Offloads not completed yet.
    submitted: VecDeque<(OffloadId, u64)>,
    /// Completions to push now.
    completions: VecDeque<(OffloadId, BulkResponse)>,
    /// Services to install now.
    fresh: VecDeque<Arc<Bulk>>,
    /// Whether submissions are left in their ring.
    asleep: bool,
}

type Shared = Rc<RefCell<TestState>>;

impl TestState {
    fn poll(&mut self, end: &ControlEnd<Bulk>) {
        while !self.asleep
            && let Some(submission) = end.submissions().poll()
        {
            self.submitted.push_back((submission.id, submission.offload));
        }
        for (id, response) in self.completions.drain(..) {
            end.completions().push(id, response).expect("the completion ring has room");
        }
        while let Some(service) = self.fresh.pop_front() {
            if let Err(Command::Install(service)) = end.send(Command::Install(service)) {
                self.fresh.push_front(service);
                break;
            }
        }
    }
}

fn world_of(setup: &Setup, service: &Arc<Bulk>) -> (World, Shared) {
    let shared = Shared::default();
    let mut control = || -> sim::ControlFn<Bulk> {
        let shared = Rc::clone(&shared);
        Box::new(move |end, _| shared.borrow_mut().poll(end))
    };
    let world = setup.build_with(service, &mut control);
    (world, shared)
}

fn world() -> (World, Shared) {
    world_of(&Setup::new(1), &Arc::new(Bulk::PLAIN))
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// Waits for an offload, and takes it.
#[track_caller]
fn submitted(world: &mut World, shared: &Shared) -> (OffloadId, u64) {
    assert!(
        world.run_until(SECOND, |_| !shared.borrow().submitted.is_empty()),
        "no offload in time"
    );
    shared.borrow_mut().submitted.pop_front().expect("there is one")
}

fn complete(shared: &Shared, id: OffloadId, bytes: u64) {
    shared.borrow_mut().completions.push_back((id, BulkResponse::Download(bytes)));
}

#[track_caller]
fn expect_download(world: &mut World, client: ConnId, len: usize) {
    let response = world.response(client);
    assert_eq!((response.status, response.body.len()), (200, len));
    assert!(response.body.iter().zip(0..).all(|(byte, at)| *byte == download_byte(at)));
}

#[test]
fn a_completion_goes_to_its_request_and_others_go_on_meanwhile() {
    let (mut world, shared) = world();
    let (first, second, other) = (world.client(), world.client(), world.client());
    world.send(first, get("/offload/1"));
    let (of_first, one) = submitted(&mut world, &shared);
    world.send(second, get("/offload/2"));
    let (of_second, two) = submitted(&mut world, &shared);
    assert_eq!((one, two), (1, 2));
    world.send(other, get("/down/5"));
    expect_download(&mut world, other, 5);
    complete(&shared, of_second, 22);
    expect_download(&mut world, second, 22);
    assert!(world.received(first).is_empty());
    complete(&shared, of_first, 40_000);
    expect_download(&mut world, first, 40_000);
    world.run_for(10 * MILLI);
    for (name, count) in
        [("offloads_submitted", 2), ("offloads_completed", 2), ("offloads_late", 0), ("parked", 0)]
    {
        assert_eq!(world.count(name), count, "{name}");
    }
    world.check_balance();
}

#[test]
fn a_pipeline_stays_in_order_behind_an_offload() {
    let (mut world, shared) = world();
    let client = world.client();
    let body = "POST /offload/7 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    world.send(client, [&get("/down/1"), body, &get("/down/2"), &get("/offload/8")].concat());
    expect_download(&mut world, client, 1);
    let (id, number) = submitted(&mut world, &shared);
    assert_eq!(number, 7);
    world.run_for(50 * MILLI);
    assert!(world.received(client).is_empty(), "nothing overtakes");
    assert_eq!(world.count("parked"), 1);
    complete(&shared, id, 9);
    expect_download(&mut world, client, 9);
    expect_download(&mut world, client, 2);
    let (id, number) = submitted(&mut world, &shared);
    assert_eq!(number, 8);
    complete(&shared, id, 10);
    expect_download(&mut world, client, 10);
}

#[test]
fn an_answer_to_a_connection_that_is_gone_hits_nobody() {
    let (mut world, shared) =
        world_of(&Setup { core: one_connection(), ..Setup::new(1) }, &Arc::new(Bulk::PLAIN));
    let gone = world.client();
    world.send(gone, get("/offload/1"));
    let (late, _) = submitted(&mut world, &shared);
    world.reset(gone);
    world.run_for(10 * MILLI);
    assert_eq!((world.count("connections_open"), world.count("parked")), (0, 0));
    // The next connection has the same slot, and waits for an answer of its own.
    let next = world.client();
    world.send(next, get("/offload/2"));
    let (id, _) = submitted(&mut world, &shared);
    assert_ne!(late, id);
    complete(&shared, late, 1);
    world.run_for(50 * MILLI);
    assert!(world.received(next).is_empty());
    assert_eq!((world.count("offloads_completed"), world.count("offloads_late")), (0, 1));
    complete(&shared, id, 2);
    expect_download(&mut world, next, 2);
}

fn one_connection() -> engine::CorePlan {
    engine::CorePlan { connections: 1, half_open_max: 1, ..Setup::new(1).core }
}

#[test]
fn control_that_is_too_late_costs_the_request_and_not_the_connection() {
    let mut setup = Setup::new(1);
    setup.core.deadlines.response_ms = 300;
    let (mut world, shared) = world_of(&setup, &Arc::new(Bulk::PLAIN));
    let client = world.client();
    world.send(client, get("/offload/1"));
    let (late, _) = submitted(&mut world, &shared);
    let began = world.elapsed();
    let response = world.response(client);
    assert_eq!((response.status, response.closes()), (504, false));
    let took = (world.elapsed() - began) / MILLI;
    assert!((295..=400).contains(&took), "after {took} ms");
    assert_eq!(world.count("deadline_response"), 1);
    world.send(client, get("/offload/2"));
    let (id, _) = submitted(&mut world, &shared);
    complete(&shared, late, 1);
    world.run_for(50 * MILLI);
    assert!(world.received(client).is_empty(), "the late response is not for this request");
    assert_eq!(world.count("offloads_late"), 1);
    complete(&shared, id, 2);
    expect_download(&mut world, client, 2);
    world.check_balance();
}

/// One turn finds the completion and its deadline passed: the response is sent, and so are those of the requests
/// that were pipelined behind it.
#[test]
fn a_response_that_comes_with_its_deadline_wins() {
    let mut setup = Setup::new(1);
    setup.core.deadlines.response_ms = 300;
    let (mut world, shared) = world_of(&setup, &Arc::new(Bulk::PLAIN));
    let client = world.client();
    for number in 1..=3 {
        world.send(client, [get("/offload/1"), get("/down/5")].concat());
        let (id, _) = submitted(&mut world, &shared);
        complete(&shared, id, number);
        // Control pushes it after this turn; the next one is late.
        world.run_for(1);
        world.pause(SECOND);
        expect_download(&mut world, client, usize::try_from(number).expect("small"));
        expect_download(&mut world, client, 5);
        assert_eq!(world.count("offloads_completed"), number);
    }
    assert_eq!((world.count("deadline_response"), world.count("offloads_late")), (0, 0));
    world.check_balance();
}

/// Completions from a little before the deadline to a little after it: the request is answered with the response
/// or with 504, once, and the next one on its connection is served.
#[test]
fn a_request_is_answered_whenever_its_completion_comes() {
    let mut setup = Setup::new(1);
    setup.core.deadlines.response_ms = 300;
    let (mut world, shared) = world_of(&setup, &Arc::new(Bulk::PLAIN));
    let (mut served, mut timed_out) = (0, 0);
    for step in 0..100 {
        let client = world.client();
        world.send(client, [get("/offload/1"), get("/down/5")].concat());
        let (id, _) = submitted(&mut world, &shared);
        world.run_for(298 * MILLI + 50 * step);
        complete(&shared, id, 7);
        let response = world.response(client);
        match (response.status, response.closes()) {
            (200, false) => served += 1,
            (504, false) => timed_out += 1,
            other => panic!("step {step}: {other:?}"),
        }
        expect_download(&mut world, client, 5);
    }
    world.run_for(10 * MILLI);
    assert!(served > 10 && timed_out > 10, "{served} served, {timed_out} timed out");
    assert_eq!(world.count("deadline_response"), timed_out);
    assert_eq!(world.count("offloads_late"), timed_out);
    world.check_balance();
}

#[test]
fn a_full_ring_is_answered_503_and_counted() {
    let (mut world, shared) =
        world_of(&Setup { parked: 2, ..Setup::new(1) }, &Arc::new(Bulk::PLAIN));
    shared.borrow_mut().asleep = true;
    let clients: Vec<_> = (0..3).map(|_| world.client()).collect();
    for client in &clients {
        world.send(*client, get("/offload/1"));
        world.run_for(5 * MILLI);
    }
    let response = world.response(clients[2]);
    assert_eq!((response.status, response.closes()), (503, false));
    assert_eq!((world.count("offloads_submitted"), world.count("offloads_refused")), (2, 1));
    shared.borrow_mut().asleep = false;
    for client in &clients[..2] {
        let (id, _) = submitted(&mut world, &shared);
        complete(&shared, id, 4);
        expect_download(&mut world, *client, 4);
    }
    world.send(clients[2], get("/down/6"));
    expect_download(&mut world, clients[2], 6);
}

#[test]
fn an_answer_may_be_a_refusal() {
    let (mut world, shared) = world();
    let client = world.client();
    world.send(client, get("/offload/1"));
    let (id, _) = submitted(&mut world, &shared);
    shared.borrow_mut().completions.push_back((id, BulkResponse::Empty(Status::S404)));
    assert_eq!(world.response(client).status, 404);
}

#[test]
fn whoever_half_closes_or_drains_still_gets_the_answer() {
    let (mut world, shared) = world();
    let (closing, drained) = (world.client(), world.client());
    world.send(closing, get("/offload/1"));
    world.finish(closing);
    let (id, _) = submitted(&mut world, &shared);
    world.run_for(20 * MILLI);
    complete(&shared, id, 11);
    expect_download(&mut world, closing, 11);
    world.expect_phase(closing, Phase::Finished);
    world.send(drained, get("/offload/2"));
    let (id, _) = submitted(&mut world, &shared);
    world.drain();
    world.run_for(20 * MILLI);
    complete(&shared, id, 12);
    let response = world.response(drained);
    assert_eq!((response.status, response.closes(), response.body.len()), (200, true, 12));
}

#[test]
fn a_body_under_way_ends_as_it_began_and_the_next_is_of_the_new_service() {
    const LEN: usize = 300_000;
    let old = Arc::new(Bulk::PLAIN);
    let (mut world, shared) = world_of(&Setup::new(1), &old);
    let (slow, idle) = (world.client(), world.client());
    world.send(idle, get("/down/3"));
    expect_download(&mut world, idle, 3);
    world.set_reading(slow, Reading::Stopped);
    world.send(slow, [get(&format!("/down/{LEN}")), get("/down/4")].concat());
    world.run_for(100 * MILLI);
    let new = Arc::new(Bulk { salt: 0x5a });
    shared.borrow_mut().fresh.push_back(Arc::clone(&new));
    world.run_for(100 * MILLI);
    assert_eq!(world.count("sites_installed"), 1);
    assert_eq!(Arc::strong_count(&old), 2, "the body under way holds it");
    world.send(idle, get("/down/3"));
    let salted = |at: u64| download_byte(at) ^ 0x5a;
    assert_eq!(world.response(idle).body, [salted(0), salted(1), salted(2)]);
    world.set_reading(slow, Reading::Eager);
    expect_download(&mut world, slow, LEN);
    // It was pipelined behind the long one, and begins after it has left.
    assert_eq!(world.response(slow).body, [0, 1, 2, 3].map(salted));
    world.run_for(10 * MILLI);
    assert_eq!(Arc::strong_count(&old), 1, "nobody holds the old one any more");
    assert_eq!(Arc::strong_count(&new), 2);
}

#[test]
fn a_connection_that_ends_gives_back_what_it_held() {
    let old = Arc::new(Bulk::PLAIN);
    let (mut world, shared) = world_of(&Setup::new(1), &old);
    let (parked, posting) = (world.client(), world.client());
    world.send(parked, get("/offload/1"));
    world.send(posting, "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
    submitted(&mut world, &shared);
    shared.borrow_mut().fresh.push_back(Arc::new(Bulk { salt: 1 }));
    world.run_for(100 * MILLI);
    assert_eq!(Arc::strong_count(&old), 3, "one of the test, one of each connection");
    world.reset(parked);
    world.run_for(10 * MILLI);
    assert_eq!(Arc::strong_count(&old), 2);
    world.send(posting, "defghi");
    assert_eq!(world.response(posting).body, Digest::of(b"abcdefghi").content().into_bytes());
    world.run_for(10 * MILLI);
    assert_eq!(Arc::strong_count(&old), 1);
}

/// Offloads and installs through every kind of fault: each request gets its one response.
#[test]
fn asks_and_installs_through_faults() {
    for_seeds(64, |seed| {
        let service = Arc::new(Bulk::PLAIN);
        let (mut world, shared) = world_of(&Setup::any(seed), &service);
        let clients: Vec<_> = (0..4).map(|_| world.client()).collect();
        for (round, client) in (0..6).flat_map(|round| clients.iter().map(move |c| (round, c))) {
            let requests =
                [get(&format!("/offload/{}", 100 * round + 9)), get("/down/70")].concat();
            world.send(*client, requests);
        }
        let mut left = 6 * clients.len();
        let done = world.run_until(300 * SECOND, |_| {
            let mut state = shared.borrow_mut();
            if !state.submitted.is_empty() {
                state.fresh.push_back(Arc::clone(&service));
            }
            while let Some((id, number)) = state.submitted.pop_front() {
                state.completions.push_back((id, BulkResponse::Download(number)));
                left -= 1;
            }
            left == 0
        });
        assert!(done, "seed {seed}: {left} asks never came");
        for client in clients {
            for round in 0..6 {
                expect_download(&mut world, client, 100 * round + 9);
                expect_download(&mut world, client, 70);
            }
        }
    });
}
