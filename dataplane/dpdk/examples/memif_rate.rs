//! How many frames a queue pair moves: one process makes 64-byte frames, another sends each back
//! over a memif, both through the same calls that the worker loop makes.
//!
//! `cargo run --release -p dpdk --example memif_rate`: prints frames per second and TSC
//! cycles per frame received, copied and sent. Takes two cores and 64 free hugepages.

use std::{
    env,
    error::Error,
    path::{Path, PathBuf},
    process::{self, Command},
    time::{Duration, Instant},
};

use dpdk::{
    Device, DeviceKind, Eal, EalPlan, MemifRole, Memory, Port, PortPlan, QueuePair, Running, Tsc,
    adopt_thread,
};
use engine::{BURST_MAX, Burst, Nic, TxOffload};

const SECONDS: u64 = 3;
const FRAME: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let Some(socket) = env::args().nth(1) else {
        let socket = PathBuf::from(format!("/tmp/memif-rate-{}.sock", process::id()));
        let mut server = Command::new(env::current_exe()?).arg(&socket).spawn()?;
        let start = Instant::now();
        while !socket.exists() && start.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(10));
        }
        generate(&socket)?;
        server.wait()?;
        return Ok(());
    };
    reflect(Path::new(&socket))
}

fn open(
    role: MemifRole,
    socket: &Path,
    core: usize,
) -> Result<(Port<Running>, QueuePair), Box<dyn Error>> {
    let device = Device::memif(role, socket)?;
    assert_eq!(device.kind(), DeviceKind::Memif);
    let eal = Eal::init(&EalPlan {
        main_core: core,
        devices: vec![],
        memory: Memory::Hugepages { limit_mib: None },
        file_prefix: format!("rate-{}", process::id()),
    })?;
    let (port, mut queues) = Port::open(&eal, &device)?.start(&PortPlan::default())?;
    let start = Instant::now();
    while !port.link_status()?.up && start.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok((port, queues.remove(0)))
}

/// Sends back what comes, and prints what a frame cost in the turns that had any.
fn reflect(socket: &Path) -> Result<(), Box<dyn Error>> {
    let (port, mut queue) = open(MemifRole::Server, socket, 1)?;
    let _adopted = adopt_thread(1)?;
    let tsc = Tsc::calibrated();
    let mut burst = Burst::new();
    let (mut frames, mut lost) = (0_u64, 0_u64);
    let mut costs = Vec::with_capacity(1 << 20);
    let end = Instant::now() + Duration::from_secs(SECONDS);
    while Instant::now() < end {
        for _ in 0..1000 {
            let from = tsc.now();
            queue.receive(&mut burst);
            if burst.is_empty() {
                continue;
            }
            let full = burst.is_full();
            for frame in burst.drain(..) {
                let Some(mut tx_buffer) = queue.tx_buffer() else {
                    lost += 1;
                    continue;
                };
                let bytes = frame.as_ref();
                tx_buffer.as_mut()[..bytes.len()].copy_from_slice(bytes);
                queue.submit(tx_buffer, bytes.len(), TxOffload::None);
                frames += 1;
            }
            queue.flush();
            if full && costs.len() < costs.capacity() {
                costs.push((tsc.now() - from) / BURST_MAX as u64);
            }
        }
    }
    println!(
        "reflector: {:.2} Mframe/s received and sent, median of {} full bursts {:?} cycles a frame, \
         {lost} lost, {:?}",
        frames as f64 / SECONDS as f64 / 1e6,
        costs.len(),
        median(&mut costs),
        queue.losses(),
    );
    drop(queue);
    port.stop()?;
    Ok(())
}

/// Of what a burst cost: what the other users of the core took does not show.
fn median(costs: &mut [u64]) -> Option<u64> {
    costs.sort_unstable();
    costs.get(costs.len() / 2).copied()
}

/// Fills the ring and counts what comes back, until the reflector ends.
fn generate(socket: &Path) -> Result<(), Box<dyn Error>> {
    let (port, mut queue) = open(MemifRole::Client, socket, 0)?;
    let _adopted = adopt_thread(0)?;
    let mut burst = Burst::new();
    let mut back = 0_u64;
    let end = Instant::now() + Duration::from_secs(SECONDS);
    while Instant::now() < end {
        for _ in 0..100 {
            for _ in 0..32 {
                let Some(mut tx_buffer) = queue.tx_buffer() else { break };
                tx_buffer.as_mut()[..FRAME].fill(0x5a);
                queue.submit(tx_buffer, FRAME, TxOffload::None);
            }
            queue.flush();
            queue.receive(&mut burst);
            back += burst.drain(..).count() as u64;
        }
    }
    println!("generator: {:.2} Mframe/s came back", back as f64 / SECONDS as f64 / 1e6);
    drop(queue);
    port.stop()?;
    Ok(())
}
