//! HAProxy.

use std::net::SocketAddr;
use std::path::Path;

use rustix::process::Signal;

use crate::behind::{Behind, Manners};
use crate::proxy::Proxy;

/// One thread, one connection to the server for all clients, and short patience with clients that say nothing more.
fn configuration(directory: &Path, server: SocketAddr, manners: Manners) -> String {
    let directory = directory.display();
    let more = match manners {
        Manners::Strict => "",
        Manners::Lenient => "option accept-invalid-http-request",
    };
    format!(
        "global
    nbthread 1
    log stdout format raw local0 info
defaults
    mode http
    log global
    timeout connect 60s
    timeout server 60s
    timeout client 100ms
    timeout http-request 100ms
    timeout http-keep-alive 100ms
    retries 0
    http-reuse always
    unique-id-format %[uuid()]
    log-format \"request %ID %s %ST %[var(txn.answered)] %HM %HU\"
frontend clients
    bind unix@{directory}/socket
    {more}
    http-request set-header X-Request-Id %[unique-id]
    http-response set-var(txn.answered) res.hdr(x-request-id)
    http-response set-header X-Proxy-Id %[unique-id]
    default_backend servers
backend servers
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
