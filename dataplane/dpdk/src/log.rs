//! What DPDK's log said last. DPDK prints to a C stream; ours is a callback that keeps the newest
//! lines, so that they can stand in an error instead of on somebody's terminal.

use std::{
    collections::VecDeque,
    ffi::{c_char, c_void},
    slice,
    sync::{Mutex, PoisonError},
};

use nix::errno::Errno;

/// Bytes kept: some two hundred lines.
const KEPT: usize = 16 * 1024;

static TEXT: Mutex<VecDeque<u8>> = Mutex::new(VecDeque::new());

/// Sends DPDK's log here from now on.
pub(crate) fn capture() -> Result<(), Errno> {
    // SAFETY: `keep` has the signature that fopencookie(3) asks of a write function, and is never
    // unloaded.
    match unsafe { dpdk_sys::shim_log_to(Some(keep)) } {
        0 => Ok(()),
        error => Err(Errno::from_raw(-error)),
    }
}

/// Takes what has been logged since the last call, oldest line first.
pub(crate) fn take() -> String {
    let mut text = TEXT.lock().unwrap_or_else(PoisonError::into_inner);
    let taken = String::from_utf8_lossy(text.make_contiguous()).trim_end().to_owned();
    text.clear();
    taken
}

/// Takes what has been logged, and returns its last lines as one: for an error.
pub(crate) fn last_words() -> String {
    let text = take();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(WORDS)..].join("; ")
}

/// Lines of the log that an error carries.
const WORDS: usize = 6;

/// Called by the C library with what DPDK printed; any thread.
unsafe extern "C" fn keep(_cookie: *mut c_void, line: *const c_char, len: usize) -> isize {
    // SAFETY: the C library passes `len` readable bytes, which it does not change during the call.
    let line = unsafe { slice::from_raw_parts(line.cast::<u8>(), len) };
    let mut text = TEXT.lock().unwrap_or_else(PoisonError::into_inner);
    text.extend(line);
    let excess = text.len().saturating_sub(KEPT);
    text.drain(..excess);
    isize::try_from(len).unwrap_or(isize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_text_is_kept_and_taken_once() {
        let line = vec![b'x'; KEPT - 1];
        for text in [line.as_slice(), b"EAL: last\n"] {
            // SAFETY: a slice is as many readable bytes as its length says.
            let written = unsafe { keep(std::ptr::null_mut(), text.as_ptr().cast(), text.len()) };
            assert_eq!(usize::try_from(written), Ok(text.len()));
        }
        let kept = take();
        assert_eq!(kept.len(), KEPT - 1, "all but the newline at the end");
        assert!(kept.ends_with("xEAL: last"));
        assert_eq!(take(), "");
    }
}
