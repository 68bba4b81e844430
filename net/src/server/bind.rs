//! The sockets that the cores listen on.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use stemedb_engine::ring::listener;

use super::{StartError, holder};

/// Connections that may wait to be accepted, for each core.
const BACKLOG: u32 = 4096;

/// A listening socket for each core, all on one address.
pub(super) struct Listeners {
    pub(super) address: SocketAddr,
    pub(super) sockets: Vec<OwnedFd>,
}

/// How long an address may be in use by nobody: the kernel takes its time to close the sockets that the ring of a
/// killed process still used.
const RELEASE_TIME: Duration = Duration::from_secs(3);

/// How long to wait before it is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Listens on `address` once for each core.
///
/// # Errors
///
/// [`StartError::Bind`], at once if another process listens there.
pub(super) fn listeners(address: SocketAddr, cores: usize) -> Result<Listeners, StartError> {
    let give_up = Instant::now() + RELEASE_TIME;
    loop {
        let source = match bind_all(address, cores) {
            Ok(listeners) => return Ok(listeners),
            Err(source) => source,
        };
        let in_use = source.kind() == io::ErrorKind::AddrInUse;
        let holder = in_use.then(|| holder::of_port(address.port())).flatten();
        if !in_use || holder.is_some() || Instant::now() >= give_up {
            return Err(StartError::Bind { address, holder, cause: source });
        }
        thread::sleep(RETRY_PAUSE);
    }
}

/// Listens on `address` once for each core.
///
/// `SO_REUSEPORT`, by which the cores share the address, would also let a second server share it. So the
/// address is first bound without, which only works when nobody listens there.
fn bind_all(address: SocketAddr, cores: usize) -> io::Result<Listeners> {
    let probe = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    probe.set_reuse_address(true)?;
    probe.bind(&address.into())?;
    probe.listen(1)?;
    // With port 0 the kernel has chosen one.
    let address = TcpListener::from(probe).local_addr()?;
    let sockets = (0..cores).map(|_| listener::bind(address, BACKLOG)).collect::<Result<_, _>>()?;
    Ok(Listeners { address, sockets })
}
