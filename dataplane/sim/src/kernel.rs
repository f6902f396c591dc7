//! The kernel's end of the exception path, played by a test: it takes and sends frames when the test calls it.

use engine::exception::KernelPort;

use crate::world::World;

/// The kernel, in a world with [`Setup::exception`](crate::Setup::exception).
impl World {
    /// The kernel's end of the path of `worker`.
    ///
    /// # Panics
    /// If the world has no exception path, or not so many workers.
    pub fn kernel(&mut self, worker: usize) -> &mut dyn KernelPort {
        &mut *self.kernels[worker]
    }

    /// Every frame for the kernel that it has not taken yet, worker by worker, oldest first.
    pub fn kernel_frames(&mut self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        for kernel in &mut self.kernels {
            while kernel.take(&mut |frame| {
                frames.push(frame.to_vec());
                true
            }) {}
        }
        frames
    }

    /// The kernel sends `frame`. What is longer than the buffer that it is read into is cut there.
    pub fn kernel_sends(&mut self, frame: &[u8]) {
        self.kernel(0).give(&mut |buffer| {
            let len = frame.len().min(buffer.len());
            buffer[..len].copy_from_slice(&frame[..len]);
            Some(len)
        });
    }
}
