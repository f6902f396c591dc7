//! Two processes over shared memory: the server, and here a client on the same DPDK adapter, with a TCP
//! stack of its own.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use dpdk::{Device, Eal, EalPlan, MemifRole, Memory, Port, PortPlan, QueuePair, Running};
use engine::{Burst, Nic, TxOffload};
use sim::raw::Address;
use sim::{Host, HostPlan, LineId, Phase};
use testkit::{APPLIANCE, HOST, PORT, Response, Rig, RigPlan, TIMEOUT};

use crate::kit::{SampleSite, ServerPlan};

const DOWNLOAD: usize = 1 << 20;

#[test]
fn two_processes_exchange_http_over_memif() {
    Rig::run(RigPlan::VETH, |rig| {
        let site = SampleSite::write(rig.scratch.path());
        let content: Vec<u8> = (0..DOWNLOAD as u64).map(sim::download_byte).collect();
        fs::write(site.directory.join("static/mebibyte.bin"), &content).expect("writable");
        let data = site.directory.to_str().expect("a path in UTF-8");
        let socket = rig.scratch.path().join("memif.sock");
        let link = format!("memif:{}", socket.display());
        let server = ServerPlan::new(&link, "1").with(&["--data", data]).serve(rig);

        let mut station = Station::new(&socket);
        let line = station.open();
        assert_eq!(station.get(line, "/pipeline").body, b"ok");
        assert_eq!(station.get(line, "/baseline11?a=13&b=42").body, b"55");
        let json: serde_json::Value =
            serde_json::from_slice(&station.get(line, "/json/7?m=2").body).expect("JSON");
        assert_eq!(json, site.json(7, 2));
        assert_eq!(station.get(line, "/nothing").status, 404);
        let start = Instant::now();
        assert!(station.get(line, "/static/mebibyte.bin").body == content, "every byte is right");
        let took = start.elapsed();
        println!("1 MiB over memif: {took:.1?}");
        let posted = station.exchange(
            line,
            "POST /baseline11?a=13 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
             2\r\n20\r\n0\r\n\r\n",
        );
        assert_eq!(posted.body, b"33");
        let (rounds, start) = (2_000, Instant::now());
        for _ in 0..rounds {
            assert_eq!(station.get(line, "/pipeline").body, b"ok");
        }
        println!("one request after the other: {:.1?} each", start.elapsed() / rounds);
        station.close(line);
        let stats = server.stop(rig).stats;
        println!("losses {:?}", stats.losses());
        assert_eq!(stats.total("requests"), 6 + u64::from(rounds));
        assert_eq!(stats.total("connections_closed"), 1);
    });
}

/// A machine whose cable is a memif.
struct Station {
    queue: QueuePair,
    host: Host,
    start: Instant,
    // Last: the queue goes before the port.
    _port: Port<Running>,
}

impl Station {
    fn new(socket: &Path) -> Self {
        let device = Device::memif(MemifRole::Client, socket).expect("a short path");
        let plan = EalPlan {
            main_core: 0,
            devices: vec![device.clone()],
            // The memory that the two share is the driver's own.
            memory: Memory::Ordinary { mib: 128 },
            file_prefix: "client".to_owned(),
        };
        let eal = Eal::init(&plan).expect("DPDK starts without hugepages");
        let port = Port::open(&eal, &device).expect("the server waits at the socket");
        let mac = port.info().mac;
        let (port, mut queues) = port.start(&PortPlan::default()).expect("one queue");
        let address = Address { mac, ip: HOST };
        let buffer = 65_535;
        let plan = HostPlan {
            address,
            receive_buffer: buffer,
            transmit_buffer: buffer,
            ip_mtu: 1_500,
            seed: 1,
        };
        let queue = queues.pop().expect("one queue was asked for");
        Self { queue, host: Host::new(plan, 0), start: Instant::now(), _port: port }
    }

    fn open(&mut self) -> LineId {
        let line = self.host.connect(APPLIANCE, PORT);
        self.turn_until("a connection", |host| (host.phase(line) == Phase::Open).then_some(()));
        line
    }

    fn get(&mut self, line: LineId, path: &str) -> Response {
        self.exchange(line, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
    }

    fn exchange(&mut self, line: LineId, request: &str) -> Response {
        self.host.send(line, request.as_bytes());
        let (answer, len) =
            self.turn_until(request, |host| Response::read(host.received(line), false));
        self.host.take_received(line, len);
        answer
    }

    fn close(&mut self, line: LineId) {
        self.host.finish(line);
        self.turn_until("FIN", |host| (host.phase(line) == Phase::Finished).then_some(()));
    }

    /// Carries frames both ways until `found` finds something.
    #[track_caller]
    fn turn_until<T>(&mut self, what: &str, found: impl Fn(&Host) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(result) = found(&self.host) {
                return result;
            }
            assert!(start.elapsed() < TIMEOUT, "no {what} in {TIMEOUT:?}");
            if !self.turn() {
                // The server may need this core.
                thread::sleep(Duration::from_micros(5));
            }
        }
    }

    /// Whether there was something to carry.
    fn turn(&mut self) -> bool {
        let mut burst = Burst::new();
        self.queue.receive(&mut burst);
        let mut busy = !burst.is_empty();
        for frame in burst {
            self.host.on_frame(frame.as_ref());
        }
        let now = u64::try_from(self.start.elapsed().as_micros()).expect("a short test");
        self.host.poll(now);
        while self.queue.ready()
            && let Some(frame) = self.host.take_frame()
        {
            let mut buffer = self.queue.tx_buffer().expect("it is ready");
            buffer.as_mut()[..frame.len()].copy_from_slice(&frame);
            self.queue.submit(buffer, frame.len(), TxOffload::None);
            busy = true;
        }
        self.queue.flush();
        busy
    }
}
