//! A start as a user who must not use the data: what is said, of which file, and that nothing is changed.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use stemedb_tests::claims::TestClaim;
use stemedb_tests::data::differences;
use stemedb_tests::transcript::Transcript;
use stemedb_tests::{Data, Start, binary, process, wal};

/// Who the server runs as, as passwd(5) knows him.
const NOBODY: u32 = 65534;

const PATIENCE: Duration = Duration::from_secs(600);

/// A log with a claim in it, and everything nobody's. `None`, and a word about it, where that cannot be made.
fn nobodys_data() -> Option<Data> {
    if !rustix::process::geteuid().is_root() {
        stemedb_tests::skip("only root can start a server as somebody else");
        return None;
    }
    let may_run = Command::new("setpriv")
        .args(["--reuid=65534", "--clear-groups", "--"])
        .arg(binary::stemedb_api())
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    if !may_run.is_ok_and(|status| status.success()) {
        stemedb_tests::skip("no setpriv, or the way to the server is barred for nobody");
        return None;
    }
    let data = Data::new();
    let server = Start::on(&data).serve();
    server.client().post("/v1/assert", TestClaim::new("a", "is", 1).json()).expect("an answer").ok();
    server.stop();
    give_to_nobody(data.root());
    Some(data)
}

fn give_to_nobody(path: &Path) {
    chown(path, Some(NOBODY), Some(NOBODY)).expect("root may");
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("readable") {
            give_to_nobody(&entry.expect("readable").path());
        }
    }
}

/// Types the start of a server as nobody.
fn start_as_nobody(data: &Data) -> Command {
    let mut command = Command::new("bash");
    let line = format!(
        "STEMEDB_BIND_ADDR=127.0.0.1:0 STEMEDB_CORES=1 STEMEDB_SEGMENT_BYTES=2MiB STEMEDB_WAL_DIR={0}/wal \
         STEMEDB_DB_DIR={0}/db exec setpriv --reuid=nobody --regid=nogroup --clear-groups {1}",
        data.root().display(),
        binary::stemedb_api().display()
    );
    command.args(["-c", &line]).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

#[test]
fn what_the_servers_user_may_not_use_is_named_with_owner_mode_and_user() {
    let Some(data) = nobodys_data() else { return };
    let segment = wal::segments(&data.wal()).remove(0).path;
    let cases = [
        ("the log's directory", data.wal(), 0o755),
        ("a directory that cannot be listed", data.wal(), 0o711),
        ("the tables' directory", data.db(), 0o755),
        ("a lock", data.wal().join("LOCK"), 0o644),
        ("a segment that cannot be read", segment.clone(), 0o600),
        ("a segment that cannot be written", segment, 0o644),
        ("the metadata", data.root().join("metadata.json"), 0o600),
    ];
    for (what, path, mode) in cases {
        let before = fs::metadata(&path).expect("it is there").permissions();
        chown(&path, Some(0), Some(0)).expect("root may");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("root may");
        let files = data.snapshot();
        let output = start_as_nobody(&data).output().expect("bash is there");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{what}:\n{text}");
        let errors: Vec<_> = text.lines().filter(|line| line.contains("ERROR")).collect();
        let [error] = errors[..] else { panic!("{what}: not one line:\n{text}") };
        let whose = format!("{} belongs to root (0), mode {mode:04o}", path.display());
        for part in ["Permission denied", &whose, "but this process runs as nobody (65534)"] {
            assert!(error.contains(part), "{what}: {part:?} is not in\n{error}");
        }
        assert_eq!(differences(&files, &data.snapshot()), [] as [String; 0], "{what}");
        chown(&path, Some(NOBODY), Some(NOBODY)).expect("root may");
        fs::set_permissions(&path, before).expect("root may");
    }
    // With everything as it was he serves.
    let mut child = start_as_nobody(&data).spawn().expect("bash is there");
    let transcript = Transcript::of(child.stderr.take().expect("it is piped"));
    let line = transcript.wait_for("Startup complete", PATIENCE);
    assert!(line.is_some_and(|line| line.contains("serving 1 assertions")), "{}", transcript.text());
    process::terminate(child.id());
    assert!(child.wait().expect("it is a child").success(), "{}", transcript.text());
}
