//! Why a file cannot be accessed: whose it is, and who we are.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Says whose a file is, with which mode, and as whom this process runs, as the end of an error message. For a file that
/// is not there it speaks of the nearest directory above that is.
pub fn explain_access(path: &Path) -> String {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let we = match effective_user(&fs::read_to_string("/proc/self/status").unwrap_or_default()) {
        Some(uid) => user(uid, &passwd),
        None => "an unknown user".to_owned(),
    };
    let seen = path.ancestors().find_map(|ancestor| Some((ancestor, fs::metadata(ancestor).ok()?)));
    match seen {
        Some((seen, metadata)) => format!(
            "{} belongs to {}, mode {:04o}, but this process runs as {we}",
            seen.display(),
            user(metadata.uid(), &passwd),
            metadata.mode() & 0o7777,
        ),
        None => format!("this process runs as {we}"),
    }
}

/// The effective user of a status file of proc(5): `Uid:` real, effective, saved, file system.
fn effective_user(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().nth(1)?.parse().ok()
}

/// Name and number of a user, by passwd(5).
fn user(uid: u32, passwd: &str) -> String {
    let named = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _password, number) = (fields.next()?, fields.next()?, fields.next()?);
        (number.parse() == Ok(uid)).then_some(name)
    });
    match named {
        Some(name) => format!("{name} ({uid})"),
        None => format!("user {uid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_number_is_the_effective_user() {
        assert_eq!(effective_user("Name:\tx\nUid:\t1000\t998\t0\t0\nGid:\t1\t2\t3\t4\n"), Some(998));
        assert_eq!(effective_user(""), None);
    }

    #[test]
    fn users_have_names_where_the_system_knows_them() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\nbroken\nstemedb:x:998:998::/var/lib/stemedb:/sbin/nologin\n";
        assert_eq!(user(998, passwd), "stemedb (998)");
        assert_eq!(user(0, passwd), "root (0)");
        assert_eq!(user(7, passwd), "user 7");
    }
}
