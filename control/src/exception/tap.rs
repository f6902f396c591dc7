//! The exception interface: a TAP interface of this process, which is gone when its descriptor is closed.

use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};

use nix::net::if_::if_nametoindex;
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use super::ExceptionError;

/// What the interface is to be.
#[derive(Clone, Debug)]
pub(crate) struct TapPlan<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// The port's link address.
    pub(crate) mac: [u8; 6],
    /// The port's MTU, bytes of an IP packet.
    pub(crate) mtu: usize,
    /// Our address.
    pub(crate) address: Ipv4Addr,
    /// Bits of it that name the network.
    pub(crate) prefix: u8,
}

/// The interface, up. Reads and writes do not block; each is one whole frame without FCS.
#[derive(derive_more::Debug)]
#[debug("Tap({name})")]
pub(crate) struct Tap {
    name: String,
    device: SyncDevice,
}

impl Tap {
    /// Makes the interface in this network namespace.
    ///
    /// # Errors
    /// The name is taken (the kernel would attach to a persistent TAP interface of it), or the kernel refuses.
    pub(crate) fn make(plan: &TapPlan<'_>) -> Result<Self, ExceptionError> {
        let name = plan.name.to_owned();
        if if_nametoindex(plan.name).is_ok() {
            return Err(ExceptionError::Taken { name });
        }
        // Without offloads the kernel cuts segments and fills in checksums before it hands a frame over.
        let device = DeviceBuilder::new()
            .layer(Layer::L2)
            .name(plan.name)
            .mac_addr(plan.mac)
            .mtu(u16::try_from(plan.mtu).unwrap_or(u16::MAX))
            .ipv4(plan.address, plan.prefix, None)
            .enable(true)
            .build_sync()
            .and_then(|device| device.set_nonblocking(true).map(|()| device));
        match device {
            Ok(device) => Ok(Self { name, device }),
            Err(cause) => Err(ExceptionError::Make { name, cause }),
        }
    }

    /// Its name when it was made.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Stores the next frame that the kernel sends in `buffer`, cut where that ends. `None`: there is none now.
    ///
    /// # Errors
    /// There will never be one again: somebody has removed the interface.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match self.device.recv(buffer) {
                Ok(len) => return Ok(Some(len)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Hands `frame` to the kernel. `false`: it does not take it, since the interface is down or gone.
    pub(crate) fn write(&self, frame: &[u8]) -> bool {
        loop {
            match self.device.send(frame) {
                Ok(len) => return len == frame.len(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}
