//! The sockets that the cores listen on.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use socket2::{Domain, Socket, Type};
use stemedb_engine::ring::listener;

use super::StartError;

/// Connections that may wait to be accepted, for each core.
const BACKLOG: u32 = 4096;

/// A listening socket for each core, all on one address.
pub(super) struct Listeners {
    pub(super) address: SocketAddr,
    pub(super) sockets: Vec<OwnedFd>,
}

/// Listens on `address` once for each core.
///
/// `SO_REUSEPORT`, by which the cores share the address, would also let a second server share it. So the
/// address is first bound without, which only works when nobody listens there.
pub(super) fn listeners(address: SocketAddr, cores: usize) -> Result<Listeners, StartError> {
    let refused = |source| StartError::bind(address, source);
    let probe = Socket::new(Domain::for_address(address), Type::STREAM, None).map_err(refused)?;
    probe.set_reuse_address(true).map_err(refused)?;
    probe.bind(&address.into()).map_err(refused)?;
    probe.listen(1).map_err(refused)?;
    // With port 0 the kernel has chosen one.
    let address = TcpListener::from(probe).local_addr().map_err(refused)?;
    let sockets =
        (0..cores).map(|_| listener::bind(address, BACKLOG)).collect::<Result<_, _>>().map_err(refused)?;
    Ok(Listeners { address, sockets })
}
