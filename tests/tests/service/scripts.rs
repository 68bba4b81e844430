//! The scripts of operators, typed by root where the data is another user's.

use stemedb_tests::machine::Host;
use stemedb_tests::skip;

/// Settings that systemd and a shell read differently, or that only a careful reader takes for what they are.
const SETTINGS: &str = r#"# A comment = one
; another=one
T_PLAIN=365
  T_BLANKS  =  	 two  words 	
T_EMPTY=
NO_EQUALS_SIGN
export T_SHELL=is not this
9T=first
T_SINGLE='$(touch x) "\ # '
T_DOUBLE="a\"b\\c\$d\`e\f\
g"
T_LINES='one
two'
T_PARTS='a'"b"  c d'e' # f
T_CONTINUED=one\
two\ \ 	
T_SHELL=$HOME `pwd` $(pwd) \$5 ~ *
T_TWICE=1
T_TWICE=2
T_UMLAUT=ä
T_LAST=end"#;

/// What shows how systemd reads them.
const READS: &str = "[Service]\nType=oneshot\nEnvironmentFile=/etc/stemedb/stemedb.env\nExecStart=sh -c 'env -0 >/var/systemds'\n";

/// Goal: scripts take from the file of settings what systemd gives to the units. Method: both read the same file.
#[test]
fn settings_are_read_as_systemd_reads_them() {
    let Some(host) = Host::install().inspect_err(|lack| skip(lack)).ok() else { return };
    host.write("/etc/stemedb/stemedb.env", SETTINGS);
    let ours = host.typed("here=/opt/stemedb/scripts; source $here/installation.sh && env -0");
    host.write("/etc/systemd/system/reads.service", READS);
    host.typed("systemctl daemon-reload && systemctl start reads");
    let systemds = host.typed("cat /var/systemds");
    let sorted = |text: &str| {
        let mut settings: Vec<_> =
            text.split_terminator('\0').filter(|setting| setting.contains("T_")).map(str::to_owned).collect();
        settings.sort();
        settings
    };
    assert_eq!(sorted(&ours), sorted(&systemds));
    assert_eq!(sorted(&ours).len(), 12);
}

/// Goal: what root restores is the service's, and root writes nowhere else, wherever the service's user points. Method: a link lies in the place
/// of a file that a restore makes.
#[test]
fn what_root_restores_is_its_owners_and_no_link_is_followed() {
    let Some(host) = Host::install().inspect_err(|lack| skip(lack)).ok() else { return };
    host.typed("systemctl start stemedb-api && cd /opt/stemedb && ./scripts/backup-stemedb.sh");
    host.typed("ln -s /root/victim /opt/stemedb/data/metadata.new && chown -h stemedb /opt/stemedb/data/metadata.new");
    host.typed(
        "cd /opt/stemedb && ./scripts/restore-stemedb.sh backups/stemedb-backup-* && curl -f http://localhost:18180/ready",
    );
    host.typed("[ ! -e /root/victim ] && [ ! -L /opt/stemedb/data/metadata.json ]");
    assert_eq!(host.typed("find /opt/stemedb/data /opt/stemedb/backups ! -user stemedb"), "");
    host.typed("ls -d /opt/stemedb/data/metadata.json.backup.*");

    // All of the data is gone, its directory too.
    host.typed("systemctl stop stemedb-api && rm -rf /opt/stemedb/data");
    // A restore that does not begin makes none.
    let refused = host.output("cd /opt/stemedb && ./scripts/restore-stemedb.sh full_20200101_000000");
    assert_eq!(refused.status.code(), Some(1));
    host.typed("[ ! -e /opt/stemedb/data ]");
    host.typed(
        "cd /opt/stemedb && ./scripts/restore-stemedb.sh backups/stemedb-backup-* && curl -f http://localhost:18180/ready",
    );
    assert_eq!(host.typed("stat -c '%U %G %a' /opt/stemedb/data"), "stemedb stemedb 750\n");
}
