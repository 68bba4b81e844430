//! HAProxy.

use std::net::SocketAddr;
use std::path::Path;

use rustix::process::Signal;

use crate::behind::{Behind, Manners};
use crate::proxy::Proxy;

/// One thread, one connection to the server for all clients, and short patience with clients that say nothing more, but for those
/// without guile, who may be late.
fn configuration(directory: &Path, server: SocketAddr, manners: Manners) -> String {
    let directory = directory.display();
    let more = match manners {
        Manners::Strict => "",
        Manners::Lenient => "option accept-invalid-http-request",
    };
    let frontend = |socket: &str, patience: &str| {
        format!(
            "frontend {socket}
    bind unix@{directory}/{socket}
    timeout client {patience}
    timeout http-request {patience}
    timeout http-keep-alive {patience}
    {more}
    http-request set-header X-Request-Id %[unique-id]
    http-response set-var(txn.answered) res.hdr(x-request-id)
    http-response set-header X-Proxy-Id %[unique-id]
    default_backend servers
"
        )
    };
    let (clients, good) = (frontend("socket", "100ms"), frontend("good", "60s"));
    format!(
        "global
    nbthread 1
    log stdout format raw local0 info
defaults
    mode http
    log global
    timeout connect 60s
    timeout server 60s
    retries 0
    http-reuse always
    unique-id-format %[uuid()]
    log-format \"request %ID %s %ST %[var(txn.answered)] %HM %HU\"
{clients}{good}backend servers
    server server {server} maxconn 1 pool-max-conn 1
"
    )
}

fn test(name: &str, manners: Manners) {
    Behind::run(name, Signal::USR1, |server| {
        Proxy::start("haproxy", &["-db", "-f"], |directory| configuration(directory, server, manners))
    });
}

#[test]
fn nothing_is_smuggled_past_a_strict_haproxy() {
    test("haproxy, strict", Manners::Strict);
}

#[test]
fn nothing_is_smuggled_past_a_lenient_haproxy() {
    test("haproxy, lenient", Manners::Lenient);
}
