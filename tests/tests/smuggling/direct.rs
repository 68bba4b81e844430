//! The corpus without a proxy: each stream has one outcome.

use stemedb_tests::{Data, Start, listing};

use crate::client::{Sent, answers_in};
use crate::corpus::entries;

#[test]
fn every_stream_has_one_reading() {
    let data = Data::new();
    let server = Start::on(&data).serve();
    let mut watcher = server.client();
    let mut stored = 0;
    for entry in entries() {
        let sent = Sent::over(std::net::TcpStream::connect(server.address()).expect("it listens"));
        let answers = answers_in(&sent.send_all_and_read(&entry.bytes));
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, entry.statuses, "{}: {answers:#?}", entry.name);
        stored += entry.statuses.iter().filter(|status| **status == 201).count();
        let rows = listing::all(&mut watcher, &format!("canary/{}", entry.name));
        assert_eq!(!rows.is_empty(), entry.statuses.contains(&201), "{}", entry.name);
    }
    assert_eq!(listing::all(&mut watcher, "/*").len(), stored, "nothing else is stored");
    drop(watcher);
    server.stop();
}
