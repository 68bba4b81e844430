//! Requests that one reader may take for one thing and the next one for another.
//!
//! In the texts, `{front}` is the beginning of a harmless request, its line and `Host`, which is answered with 200 whatever
//! its body is, as no refusal is; `{canary}` is a whole request that stores a claim under the name of the entry, to be found if
//! anybody reads it as a request. `{length}` and `{hex}` say how long the canary is, `{length+5}` how long it is behind
//! `0\r\n\r\n`.

mod chunks;
mod framing;
mod lengths;
mod lines;
mod targets;

/// One ambiguous stream of bytes.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Unlike any other's.
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    /// What the server answers when it is sent this directly; 201 stands for a canary that is a request of its own in the
    /// only reading that there is.
    pub(crate) statuses: Vec<u16>,
}

/// A name, a text and the statuses of the answers to it.
type Line = (&'static str, &'static str, &'static [u16]);

/// Everything.
pub(crate) fn entries() -> Vec<Entry> {
    let groups: [(&str, &[Line]); 5] = [
        ("framing", framing::LINES),
        ("lengths", lengths::LINES),
        ("chunks", chunks::LINES),
        ("lines", lines::LINES),
        ("targets", targets::LINES),
    ];
    let mut entries = Vec::new();
    for (group, lines) in groups {
        entries.extend(
            lines.iter().map(|(name, text, statuses)| entry(format!("{group}/{name}"), text, statuses)),
        );
    }
    for (number, coding) in framing::CODINGS.iter().enumerate() {
        let with_length = "{front}Content-Length: {length+5}\r\n{coding}\r\n\r\n0\r\n\r\n{canary}";
        let text = with_length.replace("{coding}", coding.0);
        entries.push(entry(format!("codings/{number:02}"), &text, coding.1));
    }
    entries
}

/// The request that must not be read where it is not meant.
fn canary(name: &str) -> String {
    let claim =
        format!("{{\"concept_path\":\"canary/{name}\",\"predicate\":\"is\",\"value\":1,\"timestamp\":1}}");
    let length = claim.len();
    format!(
        "POST /v1/assert?canary={name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{claim}"
    )
}

fn entry(name: String, text: &str, statuses: &[u16]) -> Entry {
    let canary = canary(&name);
    let text = text
        .replace("{front}", "GET /v1/health?front={name} HTTP/1.1\r\nHost: localhost\r\n")
        .replace("{length}", &canary.len().to_string())
        .replace("{length+5}", &(canary.len() + 5).to_string())
        .replace("{hex}", &format!("{:x}", canary.len()))
        .replace("{canary with LF}", &canary.replace("\r\n", "\n"))
        .replace("{canary}", &canary)
        .replace("{name}", &name);
    // The one byte that a text cannot hold.
    let bytes = text.bytes().map(|byte| if byte == b'\x1a' { 0xff } else { byte }).collect();
    Entry { name, bytes, statuses: statuses.to_vec() }
}

#[test]
fn entries_have_names_of_their_own_and_canaries() {
    let entries = entries();
    let names: std::collections::BTreeSet<_> = entries.iter().map(|entry| &entry.name).collect();
    assert_eq!(names.len(), entries.len());
    assert!(entries.len() >= 120, "{} entries", entries.len());
    for entry in &entries {
        let text = String::from_utf8_lossy(&entry.bytes);
        assert!(text.contains(&entry.name), "{text}");
        for placeholder in ["{front", "{canary", "{length", "{hex", "{name", "{coding"] {
            assert!(!text.contains(placeholder), "{placeholder} in {text}");
        }
    }
}
