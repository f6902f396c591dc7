//! A service for tests of the path, not of what is said: downloads made by a formula, uploads counted
//! and digested.
//!
//! `GET /down/N` answers N bytes, each a function of its offset; `POST /up` answers
//! `length digest`; `/offload/N`, with whatever method and body, is offloaded to control; everything else
//! is 404. HEAD is GET without content.

use core::fmt::Write;

use http1::{Class, HeadAction, HeadContext, Method, Request, RequestAction, Service, Status};

/// The service. Its salt shows in every byte of a download that it begins.
#[derive(Clone, Copy, Debug)]
pub struct Bulk {
    /// Laid over every byte of a download by exclusive or.
    pub salt: u8,
}

impl Bulk {
    /// The one whose downloads are the formula as it is.
    pub const PLAIN: Self = Self { salt: 0 };
}

/// A response of [`Bulk`].
#[derive(Clone, Copy, Debug)]
pub enum BulkResponse {
    /// That many bytes of the formula.
    Download(u64),
    /// What an upload came to.
    Upload(Digest),
    /// A status without content.
    Empty(Status),
}

/// Length and digest (FNV-1a, 64 bits) of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// Bytes.
    pub len: u64,
    /// Digest of them.
    pub hash: u64,
}

impl Default for Digest {
    fn default() -> Self {
        Self { len: 0, hash: 0xcbf2_9ce4_8422_2325 }
    }
}

impl Digest {
    /// Digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut digest = Self::default();
        digest.update(bytes);
        digest
    }

    /// Adds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        for &byte in bytes {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// What the service answers to an upload with this digest.
    pub fn content(&self) -> String {
        format!("{:>10} {:016x}\n", self.len, self.hash)
    }
}

/// Bytes of [`Digest::content`].
const DIGEST_LEN: usize = 28;

/// The byte of a download at offset `at`. Its period of 251 shares no factor with any buffer, so a
/// piece that is moved or repeated shows.
pub fn download_byte(at: u64) -> u8 {
    (at % 251).to_le_bytes()[0] ^ (at / 251 % 256).to_le_bytes()[0]
}

/// The content of a download of `len` bytes.
pub fn download(len: u64) -> Vec<u8> {
    (0..len).map(download_byte).collect()
}

/// What a request to [`Bulk`] is about.
#[derive(Clone, Copy, Debug)]
pub enum BulkWork {
    /// An upload, so far.
    Upload(Digest),
    /// An offload.
    Offload(u64),
}

impl Service for Bulk {
    type Work = BulkWork;
    type Response = BulkResponse;
    /// The number in the path.
    type Offload = u64;

    fn accept(&self, request: &Request<'_>, _: &mut Class) -> HeadAction<BulkWork, BulkResponse> {
        let path = str::from_utf8(request.target().path()).unwrap_or_default();
        if let Some(number) = path.strip_prefix("/offload/").and_then(|text| text.parse().ok()) {
            return HeadAction::ReadBody(BulkWork::Offload(number));
        }
        match (request.method(), path, path.strip_prefix("/down/")) {
            (Method::Post | Method::Put, "/up", _) => {
                HeadAction::ReadBody(BulkWork::Upload(Digest::default()))
            }
            (Method::Get | Method::Head, _, Some(len)) => {
                let response = len.parse().map(BulkResponse::Download);
                HeadAction::Respond(response.unwrap_or(BulkResponse::Empty(Status::S404)))
            }
            _ => HeadAction::Respond(BulkResponse::Empty(Status::S404)),
        }
    }

    fn on_body(&self, work: &mut BulkWork, piece: &[u8]) {
        if let BulkWork::Upload(digest) = work {
            digest.update(piece);
        }
    }

    fn holds_buffer(&self, work: &BulkWork) -> bool {
        matches!(work, BulkWork::Offload(_))
    }

    fn finish(&self, work: BulkWork) -> RequestAction<BulkResponse, u64> {
        match work {
            BulkWork::Upload(digest) => RequestAction::Respond(BulkResponse::Upload(digest)),
            BulkWork::Offload(number) => RequestAction::Offload(number),
        }
    }

    fn refuse(&self, status: Status) -> BulkResponse {
        BulkResponse::Empty(status)
    }

    fn status(&self, response: &BulkResponse) -> Status {
        match response {
            BulkResponse::Download(_) | BulkResponse::Upload(_) => Status::S200,
            BulkResponse::Empty(status) => *status,
        }
    }

    fn body_len(&self, response: &BulkResponse) -> u64 {
        match response {
            BulkResponse::Download(len) => *len,
            BulkResponse::Upload(_) => DIGEST_LEN as u64,
            BulkResponse::Empty(_) => 0,
        }
    }

    fn head_into(
        &self,
        response: &BulkResponse,
        context: &HeadContext<'_>,
        out: &mut [u8],
    ) -> usize {
        let mut text = Text { out, len: 0 };
        let status = self.status(response);
        let written = write!(
            text,
            "HTTP/1.1 {} {}\r\nContent-Length: {}\r\n",
            status.code(),
            status.reason(),
            self.body_len(response),
        );
        assert!(written.is_ok(), "a head of this service is short");
        text.push(b"Date: ");
        text.push(context.date.as_bytes());
        text.push(b"\r\n");
        text.push(context.connection.field_line());
        text.push(b"\r\n");
        text.len
    }

    fn body_into(&self, response: &BulkResponse, at: u64, out: &mut [u8]) -> usize {
        match response {
            BulkResponse::Download(len) => {
                let left = usize::try_from(len - at).unwrap_or(usize::MAX).min(out.len());
                for (byte, at) in out[..left].iter_mut().zip(at..) {
                    *byte = download_byte(at) ^ self.salt;
                }
                left
            }
            BulkResponse::Upload(digest) => {
                let mut whole = [0; DIGEST_LEN];
                let mut text = Text { out: &mut whole, len: 0 };
                let written = writeln!(text, "{:>10} {:016x}", digest.len, digest.hash);
                assert!(written.is_ok(), "ten digits are enough for any upload here");
                let rest = &whole[usize::try_from(at).unwrap_or(DIGEST_LEN)..];
                let left = rest.len().min(out.len());
                out[..left].copy_from_slice(&rest[..left]);
                left
            }
            BulkResponse::Empty(_) => 0,
        }
    }
}

/// Formats into bytes that are there already.
struct Text<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl Text<'_> {
    fn push(&mut self, bytes: &[u8]) {
        self.out[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        if text.len() > self.out.len() - self.len {
            return Err(core::fmt::Error);
        }
        self.push(text.as_bytes());
        Ok(())
    }
}

/// `content` in the chunked transfer coding (RFC 9112 7.1), cut into chunks of at most `chunk` bytes.
pub fn chunked(content: &[u8], chunk: usize) -> Vec<u8> {
    let mut coded = Vec::new();
    for piece in content.chunks(chunk) {
        coded.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        coded.extend_from_slice(piece);
        coded.extend_from_slice(b"\r\n");
    }
    coded.extend_from_slice(b"0\r\n\r\n");
    coded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_as_long_as_it_says() {
        assert_eq!(Digest::of(b"a").content().len(), DIGEST_LEN);
        // FNV-1a test vector of "a".
        assert_eq!(Digest::of(b"a").hash, 0xaf63_dc4c_8601_ec8c);
    }

    #[test]
    fn any_part_of_an_answer_is_a_part_of_the_whole() {
        for response in [BulkResponse::Download(1_000), BulkResponse::Upload(Digest::of(b"xyz"))] {
            let len = usize::try_from(Bulk::PLAIN.body_len(&response)).expect("short");
            let mut whole = vec![0; len];
            assert_eq!(Bulk::PLAIN.body_into(&response, 0, &mut whole), len);
            let mut part = [0; 7];
            for at in 0..len {
                let filled = Bulk::PLAIN.body_into(&response, at as u64, &mut part);
                assert_eq!(part[..filled], whole[at..len.min(at + 7)]);
            }
        }
    }

    #[test]
    fn chunks_are_cut_as_asked() {
        assert_eq!(chunked(b"abcd", 3), b"3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n");
    }
}
