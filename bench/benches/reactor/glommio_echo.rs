//! The echo on glommio: one executor, one task for each connection, as its examples do it.
//!
//! The preemption timer stays at its default and no queue asks for low latency, since otherwise an executor of glommio 0.9
//! can park for ever with work queued. Nothing here opens a file, which is where its other defects are.

use std::net::SocketAddr;
use std::sync::mpsc::Sender;

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::net::{TcpListener, TcpStream};
use glommio::{LocalExecutorBuilder, Placement};

use crate::{RESPONSE, requests_ended};

/// Memory that is registered for I/O on files, of which there is none: a little, so that no limit on locked memory is in
/// the way.
const IO_MEMORY: usize = 64 << 10;

pub(crate) fn run(cpu: u16, listening: &Sender<SocketAddr>) {
    let executor = LocalExecutorBuilder::new(Placement::Fixed(usize::from(cpu)))
        .io_memory(IO_MEMORY)
        .make()
        .expect("io_uring");
    executor.run(async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        listening.send(address).expect("somebody waits for it");
        loop {
            let stream = listener.accept().await.expect("a connection");
            stream.set_nodelay(true).expect("a TCP socket");
            glommio::spawn_local(serve(stream)).detach();
        }
    });
}

async fn serve(mut stream: TcpStream) {
    let mut unread = 0;
    let mut received = vec![0; 16 << 10];
    let mut answer = Vec::new();
    loop {
        let Ok(bytes @ 1..) = stream.read(&mut received).await else { return };
        answer.clear();
        (0..requests_ended(&mut unread, bytes)).for_each(|_| answer.extend_from_slice(RESPONSE));
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}
