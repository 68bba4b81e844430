//! What a proxy says it has forwarded.

/// A request as a proxy has logged it.
#[derive(Debug, Clone)]
pub(crate) struct Logged {
    /// What the proxy called the request, to the server too.
    pub(crate) id: String,
    /// Whether it went to the server.
    pub(crate) is_forwarded: bool,
    /// The status of the answer that the client got, of the server or of the proxy itself.
    pub(crate) status: u16,
    /// The id in the server's answer, if there was one.
    pub(crate) answered: Option<String>,
    pub(crate) target: String,
}

impl Logged {
    /// Reads a line that begins with `request`: the id, the server, the status, the id in the answer, the method, the
    /// target. Other lines are about other things.
    pub(crate) fn read(line: &str) -> Option<Logged> {
        let line = line.strip_prefix("request ")?;
        let parts: Vec<&str> = line.splitn(6, ' ').collect();
        let [id, server, status, answered, _, target] = parts[..] else {
            panic!("no line of the log: {line:?}")
        };
        Some(Logged {
            id: id.to_owned(),
            is_forwarded: !matches!(server, "-" | "<NOSRV>"),
            // A client that was gone before its answer leaves -1.
            status: status.parse().unwrap_or(0),
            answered: (answered != "-").then(|| answered.to_owned()),
            target: target.to_owned(),
        })
    }

    /// The name of the entry whose canary this is.
    pub(crate) fn canary(&self) -> Option<&str> {
        self.target.strip_prefix("/v1/assert?canary=")
    }

    /// What became of it, for people.
    pub(crate) fn outcome(&self) -> String {
        let canary = if self.canary().is_some() { " (canary)" } else { "" };
        match self.is_forwarded {
            true => format!("{}{canary}", self.status),
            false => format!("refuses {}", self.status),
        }
    }
}
