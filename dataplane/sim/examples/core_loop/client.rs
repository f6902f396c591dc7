//! The clients: TCP by templates. They lose nothing, reorder nothing, acknowledge every burst and check
//! that what comes is whole; their work is not part of what is measured.

use crate::memory_nic::Wire;
use crate::{ADDRESS, MAC, PORT};

const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
const FIRST_PORT: u16 = 1_024;
const WINDOW: u16 = 65_000;

const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

const IP_LEN: usize = 20;
const TCP_LEN: usize = 20;
/// RFC 9293, 3.2: the option "maximum segment size", 1,460 bytes.
const SEGMENT_MAX_1460: [u8; 4] = [2, 4, 0x05, 0xb4];

/// One client; its port says which.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// What it sends at once: `depth` requests.
    requests: Vec<u8>,
    depth: usize,
    requests_per_connection: Option<usize>,
    port: u16,
    snd_nxt: u32,
    rcv_nxt: u32,
    /// Payload bytes of responses received since the requests were sent.
    received: usize,
    /// Requests answered on this connection.
    answered: usize,
    is_open: bool,
}

impl Client {
    /// A client that sends `requests`, which are `depth` requests, again and again; with
    /// `requests_per_connection` it resets the connection after so many.
    pub(crate) fn new(
        requests: Vec<u8>,
        depth: usize,
        requests_per_connection: Option<usize>,
    ) -> Self {
        Self {
            requests,
            depth,
            requests_per_connection,
            port: FIRST_PORT,
            snd_nxt: 1_000,
            rcv_nxt: 0,
            received: 0,
            answered: 0,
            is_open: false,
        }
    }

    fn send_syn(&mut self, wire: &Wire) {
        self.send(wire, SYN, &SEGMENT_MAX_1460, 0);
        self.snd_nxt = self.snd_nxt.wrapping_add(1);
    }

    fn send_requests(&mut self, wire: &Wire) {
        let len = self.requests.len();
        self.send(wire, PSH | ACK, &[], len);
        self.snd_nxt = self.snd_nxt.wrapping_add(u32::try_from(len).expect("one segment"));
    }

    /// Resets the connection (RFC 9293, 3.5.2) and begins another on the same port.
    fn reconnect(&mut self, wire: &Wire) {
        self.send(wire, RST | ACK, &[], 0);
        self.snd_nxt = self.snd_nxt.wrapping_add(100_000);
        (self.received, self.answered, self.is_open) = (0, 0, false);
        self.send_syn(wire);
    }

    /// Sends one segment with the first `payload_len` bytes of the requests. Checksums stay zero: the NIC
    /// says that they are good.
    fn send(&self, wire: &Wire, flags: u8, options: &[u8], payload_len: usize) {
        let payload = &self.requests[..payload_len];
        let header_len = TCP_LEN + options.len();
        let ip_len = u16::try_from(IP_LEN + header_len + payload.len()).expect("one segment");
        wire.send(|frame| {
            let mut at = 0;
            let mut put = |bytes: &[u8]| {
                frame[at..at + bytes.len()].copy_from_slice(bytes);
                at += bytes.len();
            };
            put(&MAC);
            put(&PEER_MAC);
            put(&[0x08, 0x00, 0x45, 0]);
            put(&ip_len.to_be_bytes());
            // No identification, "don't fragment", TTL 64, TCP, no checksum.
            put(&[0, 0, 0x40, 0, 64, 6, 0, 0, 198, 18, 0, 9]);
            put(&ADDRESS);
            put(&self.port.to_be_bytes());
            put(&PORT.to_be_bytes());
            put(&self.snd_nxt.to_be_bytes());
            put(&self.rcv_nxt.to_be_bytes());
            let words = u8::try_from(header_len / 4).expect("a header has at most 15 words");
            put(&[words << 4, flags]);
            put(&WINDOW.to_be_bytes());
            put(&[0; 4]);
            put(options);
            put(payload);
            at
        });
    }
}

/// All clients of a run.
pub(crate) struct Clients {
    clients: Vec<Client>,
    /// Which clients heard something, each once.
    heard: Vec<usize>,
    /// Bytes of one response: head and body; 0 until the first is here.
    response_len: usize,
    answered: usize,
}

impl Clients {
    /// Most clients: one for each port.
    pub(crate) const MAX: usize = 60_000;

    /// `count` clients like `model`.
    pub(crate) fn new(model: Client, count: usize) -> Self {
        let ports = FIRST_PORT..=u16::MAX;
        let clients = ports.take(count).map(|port| Client { port, ..model.clone() }).collect();
        Self { clients, heard: Vec::with_capacity(count), response_len: 0, answered: 0 }
    }

    /// Requests answered so far.
    pub(crate) fn answered(&self) -> usize {
        self.answered
    }

    /// Begins all connections.
    pub(crate) fn open(&mut self, wire: &Wire) {
        self.clients.iter_mut().for_each(|client| client.send_syn(wire));
    }

    /// Takes what the worker sent and answers it. How many segments were sent.
    ///
    /// # Panics
    /// If the worker resets a connection, or the first response is not 200 with a length.
    pub(crate) fn on_frames(&mut self, wire: &Wire) -> usize {
        let Self { clients, heard, response_len, .. } = self;
        wire.receive(|frame| {
            if let Some(segment) = Segment::parse(frame) {
                let index = usize::from(segment.port - FIRST_PORT);
                let client = &mut clients[index];
                assert_eq!(segment.flags & RST, 0, "the worker reset a connection");
                if client.take(&segment, response_len) && !heard.contains(&index) {
                    heard.push(index);
                }
            }
        });
        let sent = self.heard.len();
        for index in std::mem::take(&mut self.heard) {
            self.answer(index, wire);
        }
        sent
    }

    /// What the client says to what it heard last.
    fn answer(&mut self, index: usize, wire: &Wire) {
        let client = &mut self.clients[index];
        let whole = self.response_len * client.depth;
        if client.received == 0 && client.answered == 0 {
            return client.send_requests(wire);
        }
        if client.received < whole {
            return client.send(wire, ACK, &[], 0);
        }
        assert_eq!(client.received, whole, "nothing comes that was not asked for");
        client.received = 0;
        client.answered += client.depth;
        self.answered += client.depth;
        if client.requests_per_connection == Some(client.answered) {
            client.reconnect(wire);
        } else {
            client.send_requests(wire);
        }
    }
}

impl Client {
    /// Takes one segment; whether it asks for an answer.
    fn take(&mut self, segment: &Segment<'_>, response_len: &mut usize) -> bool {
        if segment.flags & SYN != 0 {
            self.rcv_nxt = segment.sequence.wrapping_add(1);
            self.is_open = true;
            return true;
        }
        if !self.is_open || segment.payload.is_empty() {
            return false;
        }
        assert_eq!(segment.sequence, self.rcv_nxt, "in order and nothing twice");
        if *response_len == 0 {
            *response_len = whole_response(segment.payload);
        }
        let len = segment.payload.len();
        self.rcv_nxt = self.rcv_nxt.wrapping_add(u32::try_from(len).expect("one segment"));
        self.received += len;
        true
    }
}

/// Bytes of the response that begins here: head and body.
fn whole_response(text: &[u8]) -> usize {
    let end = text.windows(4).position(|four| four == b"\r\n\r\n").expect("a head is in one piece");
    let head = std::str::from_utf8(&text[..end]).expect("a head is ASCII");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let body: usize = length.expect(head).parse().expect("a number of bytes");
    end + 4 + body
}

/// What a client reads of a frame.
struct Segment<'a> {
    port: u16,
    sequence: u32,
    flags: u8,
    payload: &'a [u8],
}

impl<'a> Segment<'a> {
    /// `None`: not TCP (the announcement of the address by ARP).
    fn parse(frame: &'a [u8]) -> Option<Self> {
        let ip = frame.strip_prefix(&[&PEER_MAC[..], &MAC, &[0x08, 0x00]].concat()[..])?;
        let ip_len = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
        let tcp = &ip[IP_LEN..ip_len];
        let payload = &tcp[usize::from(tcp[12] >> 4) * 4..];
        Some(Self {
            port: u16::from_be_bytes([tcp[2], tcp[3]]),
            sequence: u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]),
            flags: tcp[13],
            payload,
        })
    }
}
