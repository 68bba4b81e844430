//! nginx.

use std::net::SocketAddr;
use std::path::Path;

use rustix::process::Signal;

use crate::behind::{Behind, Manners};
use crate::proxy::Proxy;

/// One process, one connection to the server for all clients, and short patience with clients that say nothing more, but for those
/// without guile, who may be late.
fn configuration(directory: &Path, server: SocketAddr, manners: Manners) -> String {
    let directory = directory.display();
    let (of_server, of_location) = match manners {
        Manners::Strict => ("", "proxy_set_header Host $host;"),
        Manners::Lenient => (
            "ignore_invalid_headers off; underscores_in_headers on; merge_slashes off;",
            "proxy_set_header Host $http_host; proxy_request_buffering off;",
        ),
    };
    let listening = |socket: &str, patience: &str| {
        format!(
            "server {{
                listen unix:{directory}/{socket}; server_name localhost; {of_server}
                keepalive_timeout {patience}; client_header_timeout {patience}; client_body_timeout {patience};
                location / {{
                    proxy_pass http://server; proxy_http_version 1.1; proxy_set_header Connection '';
                    proxy_set_header X-Request-Id $request_id; add_header X-Proxy-Id $request_id always;
                    proxy_next_upstream off; {of_location}
                }}
            }}"
        )
    };
    let (clients, good) = (listening("socket", "100ms"), listening("good", "60s"));
    format!(
        "daemon off; master_process off; error_log stderr error; pid {directory}/pid;
        events {{ worker_connections 64; }}
        http {{
            log_format forwarded 'request $request_id $upstream_addr $status $upstream_http_x_request_id $request_method $request_uri';
            access_log {directory}/log forwarded;
            client_body_temp_path {directory}/bodies; proxy_temp_path {directory}/answers;
            fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
            client_max_body_size 0;
            upstream server {{ server {server}; keepalive 1; }}
            {clients}
            {good}
        }}"
    )
}

fn test(name: &str, manners: Manners) {
    Behind::run(name, Signal::QUIT, |server| {
        Proxy::start("nginx", &["-e", "stderr", "-c"], |directory| configuration(directory, server, manners))
    });
}

#[test]
fn nothing_is_smuggled_past_a_strict_nginx() {
    test("nginx, strict", Manners::Strict);
}

#[test]
fn nothing_is_smuggled_past_a_lenient_nginx() {
    test("nginx, lenient", Manners::Lenient);
}
