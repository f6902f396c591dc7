//! Two workers on two threads and the real clock, as they ship: the spreader's rings, the link to
//! control, sleeping and waking, and the way back of the queue pair. A binary of its own, since it needs
//! two cores for itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use engine::control_queue::{self, Command, ControlEnd, Event, WallClock};
use engine::sleep::{self, SleepFlag, Waker};
use engine::{Buffer, Nic, Now, Worker, steering};
use sim::raw::Address;
use sim::{
    APPLIANCE, Bulk, HTTP_PORT, Host, HostPlan, LineId, NicPlan, Phase, Setup, UNIX_START, Wire,
};
use testkit::Response;

/// Real time that a test may take.
const LIMIT: Duration = Duration::from_secs(60);

/// How long a worker sleeps that nobody wakes.
const SHORT: Duration = Duration::from_micros(100);

/// Requests on each connection.
const ROUNDS: usize = 60;

/// The clients' side, on the main thread.
struct Bench {
    wire: Wire,
    host: Host,
    began: Instant,
}

impl Bench {
    fn new(wire: Wire, began: Instant) -> Self {
        let address = Address { mac: [2, 0, 0, 0, 0, 7], ip: [198, 18, 0, 7].into() };
        let plan = HostPlan {
            address,
            receive_buffer: 16_384,
            transmit_buffer: 16_384,
            ip_mtu: 1_500,
            seed: 1,
        };
        Self { wire, host: Host::new(plan, 0), began }
    }

    /// Carries frames both ways until `done`.
    #[track_caller]
    fn run_until(&mut self, mut done: impl FnMut(&mut Host) -> bool) {
        while !done(&mut self.host) {
            assert!(self.began.elapsed() < LIMIT, "it does not come to an end");
            let Self { wire, host, .. } = self;
            let mut moved = false;
            while wire.collect(|frame| host.on_frame(frame)) {
                moved = true;
            }
            let now = micros(self.began);
            if host.poll_at().is_some_and(|at| at <= now) {
                host.poll(now);
            }
            while let Some(frame) = host.take_frame() {
                moved = true;
                // A full ring loses the frame, as rings do.
                let _ = wire.deliver(&frame);
            }
            if !moved {
                thread::yield_now();
            }
        }
    }
}

fn micros(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_micros()).expect("a short run")
}

/// Starts a worker on a thread of its own; its queue pair comes back through `returned`.
fn start<N: Nic + Send + 'static>(
    nic: N,
    wall: &Arc<WallClock>,
    began: Instant,
    rest: Rest,
    returned: mpsc::Sender<N>,
) -> ControlEnd<Bulk> {
    let Rest { flag, waker, rung, limit } = rest;
    let (control, worker_end) = control_queue::pair_with_sleep(wall, 1, (flag, waker));
    let mut core = Setup::new(1).core;
    (core.connections, core.half_open_max) = (256, 256);
    thread::spawn(move || {
        let clock = || Now { cycles: micros(began) * 1_000, micros: micros(began) };
        let mut buffers = |len| Buffer::Owned(vec![0; len]);
        let worker =
            Worker::new(core, nic, Arc::new(Bulk::PLAIN), worker_end, &mut buffers, clock());
        let nic = worker.run(clock, |idle| {
            if idle.announced {
                // Whether it was woken or has slept enough, the next turn finds out why.
                let longest = Duration::from_micros(idle.sleep_micros());
                let _ = rung.recv_timeout(longest.min(limit));
                idle.flag.clear();
            } else if idle.empty_turns > 16 {
                idle.flag.set();
            }
        });
        returned.send(nic)
    });
    control
}

/// How a worker sleeps.
struct Rest {
    flag: SleepFlag,
    waker: Waker,
    rung: mpsc::Receiver<()>,
    limit: Duration,
}

/// With a worker that sleeps no longer than `limit`; what wakes it is counted.
fn rest(limit: Duration, woken: &Arc<AtomicU64>) -> Rest {
    let (bell, rung) = mpsc::sync_channel(1);
    let woken = Arc::clone(woken);
    let (flag, waker) = sleep::pair(move || {
        woken.fetch_add(1, Ordering::Relaxed);
        // A bell that rings already is enough.
        let _ = bell.try_send(());
    });
    Rest { flag, waker, rung, limit }
}

fn total(controls: &[ControlEnd<Bulk>; 2], name: &str) -> u64 {
    let find = |control: &ControlEnd<Bulk>| {
        let reading = control.stats().readings().find(|reading| reading.name == name);
        reading.expect("a counter of that name").value
    };
    controls.iter().map(find).sum()
}

#[test]
fn two_threads_serve_drain_and_stop() {
    let began = Instant::now();
    let plan = NicPlan { transmit_pool: 300, ..NicPlan::default() };
    let (nic, wire) = plan.build();
    let woken = Arc::new(AtomicU64::new(0));
    // Nothing wakes the steering queue's worker for what is on its wire, here: it looks now and then. What
    // it steers to the other wakes that one.
    let (steering_rest, worker_rest) = (rest(SHORT, &woken), rest(LIMIT, &woken));
    let wakers = [steering_rest.waker.clone(), worker_rest.waker.clone()];
    let (steering, mut worker_queues) = steering::split(nic, &wakers, 100, [7; 16]);
    let worker_queue = worker_queues.pop().expect("one was asked for");
    let wall = WallClock::new(UNIX_START);
    let (steering_back, steering_returned) = mpsc::channel();
    let (worker_back, worker_returned) = mpsc::channel();
    let controls = [
        start(steering, &wall, began, steering_rest, steering_back),
        start(worker_queue, &wall, began, worker_rest, worker_back),
    ];

    let mut bench = Bench::new(wire, began);
    let lines: Vec<LineId> =
        (0..128).map(|_| bench.host.connect(APPLIANCE.ip, HTTP_PORT)).collect();
    let lens = |round: usize| [3, 900, 7_000, 15_000][round % 4];
    for round in 0..ROUNDS {
        let request = format!("GET /down/{} HTTP/1.1\r\nHost: a\r\n\r\n", lens(round));
        for line in &lines {
            bench.host.send(*line, request.as_bytes());
        }
    }
    let mut answered = vec![0; lines.len()];
    bench.run_until(|host| {
        for (count, line) in answered.iter_mut().zip(&lines) {
            while let Some((response, len)) = Response::read(host.received(*line), false) {
                assert_eq!((response.status, response.body.len()), (200, lens(*count)));
                host.take_received(*line, len);
                *count += 1;
            }
        }
        answered.iter().all(|&count| count == ROUNDS)
    });
    assert_eq!(total(&controls, "requests"), (lines.len() * ROUNDS) as u64);

    for control in &controls {
        assert!(control.send(Command::Drain).is_ok());
    }
    bench.run_until(|host| lines.iter().all(|line| host.phase(*line) == Phase::Finished));
    for line in &lines {
        bench.host.finish(*line);
    }
    let mut drained = 0;
    bench.run_until(|_| {
        let reports =
            controls.iter().filter(|control| control.poll_event() == Some(Event::Drained));
        drained += reports.count();
        drained == 2
    });
    assert_eq!(total(&controls, "connections_open"), 0);

    // The worker queue first: without the steering queue nothing of it would leave.
    assert!(controls[1].send(Command::Stop).is_ok());
    drop(worker_returned.recv_timeout(LIMIT).expect("the worker of the worker queue returns"));
    assert!(controls[0].send(Command::Stop).is_ok());
    let steering =
        steering_returned.recv_timeout(LIMIT).expect("the worker of the steering queue returns");
    drop(steering.into_inner());
    while bench.wire.collect(|_| ()) {}
    assert_eq!(bench.wire.away(), (0, 0), "every buffer is home");
    assert!(woken.load(Ordering::Relaxed) > 0, "somebody slept and was woken");
}

/// Whoever naps or sleeps meanwhile keeps them waiting.
#[test]
fn the_worker_that_polls_for_others_is_relied_on_until_all_of_them_sleep() {
    let (nic, _wire) = NicPlan { transmit_pool: 300, ..NicPlan::default() }.build();
    let woken = Arc::new(AtomicU64::new(0));
    let rests = [(); 3].map(|()| rest(LIMIT, &woken));
    let wakers = rests.each_ref().map(|rest| rest.waker.clone());
    let (steering, _worker_queues) = steering::split(nic, &wakers, 100, [7; 16]);
    let [own, first, second] = rests.each_ref().map(|rest| &rest.flag);
    let relied_on_with = |flag: &SleepFlag| {
        flag.set();
        steering.is_relied_on()
    };
    assert!(steering.is_relied_on() && relied_on_with(own) && relied_on_with(first));
    assert!(!relied_on_with(second), "all sleep");
    first.clear();
    assert!(steering.is_relied_on());
}
