//! What was said at the appliance's port, as a pcap file for Wireshark: to look at a failing seed.

use std::fs::File;
use std::io::{BufWriter, Write};

/// Environment variable that names the file. With several worlds the last one wins.
const VARIABLE: &str = "SIM_PCAP";

/// A pcap file being written.
#[derive(Debug)]
pub(crate) struct Capture {
    file: BufWriter<File>,
}

impl Capture {
    /// Starts a capture if the environment asks for one.
    pub(crate) fn from_environment() -> Option<Self> {
        let path = std::env::var_os(VARIABLE)?;
        let file = File::create(&path).expect("the capture file can be made");
        let mut capture = Self { file: BufWriter::new(file) };
        // https://www.tcpdump.org/manpages/pcap-savefile.5.html: magic of microsecond files, version
        // 2.4, zone, accuracy, longest frame, link type 1 (Ethernet).
        for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1] {
            capture.word(word);
        }
        Some(capture)
    }

    /// Adds `frame` with virtual time `micros`.
    pub(crate) fn record(&mut self, micros: u64, frame: &[u8]) {
        let narrow = |wide: u64| u32::try_from(wide).expect("virtual time is short");
        let len = narrow(frame.len() as u64);
        for word in [narrow(micros / 1_000_000), narrow(micros % 1_000_000), len, len] {
            self.word(word);
        }
        self.file.write_all(frame).expect("the capture file can be written");
    }

    fn word(&mut self, word: u32) {
        self.file.write_all(&word.to_le_bytes()).expect("the capture file can be written");
    }
}
