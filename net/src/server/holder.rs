//! Who listens on a port, by proc(5).

use std::fs;

/// The process that listens on TCP port `port`, if it is one whose descriptors we may see.
pub(super) fn of_port(port: u16) -> Option<u32> {
    let sockets: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = fs::read_dir("/proc").ok()?;
    processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).find(|pid| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd"));
        descriptors.is_ok_and(|descriptors| {
            descriptors.flatten().any(|descriptor| {
                fs::read_link(descriptor.path())
                    .is_ok_and(|target| sockets.iter().any(|socket| target.as_os_str() == socket.as_str()))
            })
        })
    })
}

/// The inodes of listening sockets (state 0A) on `port` in a table of proc_net_tcp(5).
fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    let mut inodes = Vec::new();
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (Some(local), Some(&"0A"), Some(inode)) = (fields.get(1), fields.get(3), fields.get(9)) else {
            continue;
        };
        let local_port = local.rsplit_once(':').and_then(|(_, hex)| u16::from_str_radix(hex, 16).ok());
        if local_port == Some(port) {
            inodes.push((*inode).to_owned());
        }
    }
    inodes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_of_this_process_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("a bound socket").port();
        assert_eq!(of_port(port), Some(std::process::id()));
    }

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:4704 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1\n\
            1: 0100007F:4704 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 222 1\n\
            2: 0100007F:4705 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1\n";
        assert_eq!(listening_inodes(table, 0x4704), ["111"]);
    }
}
