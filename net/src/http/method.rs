//! Which methods are known.

use super::Reject;

/// The methods of RFC 9110 and RFC 5789. Which of them a resource answers is for the router to say.
const KNOWN: [&str; 8] = ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"];

//= RFC 9110 section 9.1
//# The method token is case-sensitive because it might be used as a gateway to object-based systems with
//# case-sensitive method names.
//
//= RFC 9110 section 9.1
//# All general-purpose servers MUST support the methods GET and HEAD.
//
//= RFC 9110 section 9.3.6
//# A server MUST reject a CONNECT request that targets an empty or invalid port number
//
//= RFC 9110 section 9.1
//# An origin server that receives a request method that is unrecognized or not implemented SHOULD respond with the
//# 501 (Not Implemented) status code.
/// Refuses a method that is not known: it may mean something for what follows on the connection, as CONNECT does.
pub(super) fn check(method: &str) -> Result<(), Reject> {
    match method {
        _ if KNOWN.contains(&method) => Ok(()),
        "CONNECT" => Err(Reject::Connect),
        _ => Err(Reject::UnknownMethod),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_known_by_their_exact_names() {
        for method in KNOWN {
            assert_eq!(check(method), Ok(()), "{method}");
        }
        assert_eq!(check("CONNECT"), Err(Reject::Connect));
        for method in ["get", "Post", "GETT", "GE", "PROPFIND", "PRI", "connect", "X"] {
            assert_eq!(check(method), Err(Reject::UnknownMethod), "{method}");
        }
    }
}
