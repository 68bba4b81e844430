//! Listening sockets that several rings share by address.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// A listening TCP socket with `SO_REUSEPORT`: each core binds one of its own to the same address, and the kernel
/// deals the connections out among them.
///
/// Connections inherit `TCP_NODELAY`. At most `backlog` connections wait to be accepted (the kernel also caps it
/// at `net.core.somaxconn`). With port 0 the kernel chooses one; [`local_address`] tells which.
///
/// # Errors
///
/// Those of socket(2), setsockopt(2), bind(2) and listen(2), above all `EADDRINUSE` and `EACCES`.
pub fn bind(address: SocketAddr, backlog: u32) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => libc::AF_INET,
        SocketAddr::V6(_) => libc::AF_INET6,
    };
    // SAFETY: the call takes no memory.
    let socket = check(unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: the call succeeded, so the number is open, and nobody else knows it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    switch_on(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR)?;
    switch_on(&socket, libc::SOL_SOCKET, libc::SO_REUSEPORT)?;
    switch_on(&socket, libc::IPPROTO_TCP, libc::TCP_NODELAY)?;
    bind_socket(&socket, address)?;
    let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
    // SAFETY: the call takes no memory.
    check(unsafe { libc::listen(socket.as_raw_fd(), backlog) })?;
    Ok(socket)
}

/// The address that a socket is bound to.
///
/// # Errors
///
/// Those of getsockname(2).
pub fn local_address(socket: &OwnedFd) -> io::Result<SocketAddr> {
    std::net::TcpListener::from(socket.try_clone()?).local_addr()
}

fn bind_socket(socket: &OwnedFd, address: SocketAddr) -> io::Result<()> {
    let bound = match address {
        SocketAddr::V4(v4) => {
            let raw = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            };
            let len = mem::size_of_val(&raw) as libc::socklen_t;
            // SAFETY: `raw` is a socket address of its family, `len` bytes long, and lives through the call.
            unsafe { libc::bind(socket.as_raw_fd(), (&raw const raw).cast(), len) }
        }
        SocketAddr::V6(v6) => {
            let raw = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            };
            let len = mem::size_of_val(&raw) as libc::socklen_t;
            // SAFETY: `raw` is a socket address of its family, `len` bytes long, and lives through the call.
            unsafe { libc::bind(socket.as_raw_fd(), (&raw const raw).cast(), len) }
        }
    };
    check(bound).map(drop)
}

fn switch_on(socket: &OwnedFd, level: libc::c_int, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    let len = mem::size_of_val(&on) as libc::socklen_t;
    // SAFETY: `on` is an int of `len` bytes, which these options take, and lives through the call.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const on).cast(), len) })
        .map(drop)
}

/// The result of a system call that tells failure by −1.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_listeners_share_an_address() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let any: SocketAddr = any.parse().expect("an address");
            let first = bind(any, 16).expect("a free port");
            let address = local_address(&first).expect("it is bound");
            assert_eq!(address.ip(), any.ip());
            assert_ne!(address.port(), 0);
            let second = bind(address, 16).expect("the port is shared");
            assert_eq!(local_address(&second).expect("it is bound"), address);
        }
    }
}
