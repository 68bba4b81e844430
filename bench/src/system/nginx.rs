//! nginx: the ceiling. What one HTTP exchange costs that stores nothing and looks up nothing.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use super::drive::drive;
use super::experiment::Experiment;
use super::site::START_TIME_MAX;
use super::{Name, Record, Site, System, SystemError, find_program, first_line, missing_program};
use crate::client::{Empty, Rows};
use crate::load::Pacing;
use crate::process::{self, Program};
use crate::workload::{RunId, Workload};

/// The size of the static file: about that of StemeDB's answer to a point query for a claim of 200 bytes.
pub(super) const FILE_BYTES: usize = 420;

/// `nginx` with one worker.
#[derive(Debug)]
pub(super) struct Nginx;

impl System for Nginx {
    fn name(&self) -> Name {
        Name::Nginx
    }

    fn packages(&self) -> &'static [&'static str] {
        &["nginx-light"]
    }

    fn missing(&self) -> Option<String> {
        missing_program("nginx")
    }

    fn version(&self) -> String {
        find_program("nginx").map_or_else(String::new, |nginx| first_line(nginx, &["-v"]))
    }

    fn caveats(&self) -> Vec<String> {
        vec![
            "nginx: one worker, no access log. It is sent the same POST of a 200-byte claim and answers an empty 200 without \
             looking at the body."
                .to_owned(),
            format!(
                "nginx's static file has {FILE_BYTES} bytes, about what StemeDB answers to a point query; it is served from the page \
                 cache by sendfile, with open_file_cache."
            ),
        ]
    }

    fn measure(&self, site: &Site, record: &mut Record<'_>) -> Result<(), SystemError> {
        let directory = site.directory()?;
        let address = process::free_address().map_err(SystemError::io("a port"))?;
        let configuration = directory.path().join("nginx.conf");
        let write = |path: &Path, text: &str| fs::write(path, text).map_err(SystemError::io("nginx's files"));
        write(&configuration, &configure(directory.path(), address))?;
        write(&directory.path().join("claim.json"), &"x".repeat(FILE_BYTES))?;
        let program = find_program("nginx").unwrap_or_else(|| "nginx".into());
        let server = Program::new(program, directory.path(), Site::server_cpus())
            .args(["-p".as_ref(), directory.path(), "-c".as_ref(), &configuration])
            .args(["-e".as_ref(), directory.path().join("error.log").as_path()])
            .start(START_TIME_MAX, || process::accepts(address))?;
        for connections in [1, 16, 64, 256] {
            let workload = Workload::new(RunId::unique());
            let clients = (0..connections).map(|number| Empty::post(Rows::new(&workload, number), address));
            record.take(Experiment::Empty(connections), || {
                drive(site, &server, address, Pacing::Closed, clients.collect())
            })?;
        }
        record.take(Experiment::EmptyGet(64), || {
            drive(site, &server, address, Pacing::Closed, get_clients("/", 0, address))
        })?;
        record.take(Experiment::File(64), || {
            drive(site, &server, address, Pacing::Closed, get_clients("/claim.json", FILE_BYTES, address))
        })
    }
}

fn get_clients(path: &str, answer_bytes: usize, address: SocketAddr) -> Vec<Empty> {
    (0..64).map(|_| Empty::get(path, answer_bytes, address)).collect()
}

fn configure(directory: &Path, address: SocketAddr) -> String {
    let directory = directory.display();
    // Workers of a server that root starts run as nobody, who may read the file.
    format!(
        "daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    keepalive_requests 1000000000;
    default_type application/json;
    sendfile on;
    open_file_cache max=16;
    server {{
        listen {address};
        location / {{ return 200 \"\"; }}
        location = /claim.json {{ root {directory}; }}
    }}
}}
"
    )
}
