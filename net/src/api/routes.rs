//! Which endpoint answers which path and method.

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    /// Write one claim.
    Assert,
    /// Write many claims.
    AssertBatch,
    /// Read claims.
    Query,
    /// Retract claims.
    Retract,
    /// Read one claim by its hash.
    Assertion,
    /// How the server is.
    Health,
    /// Whether the server takes requests.
    Ready,
    /// Figures for Prometheus.
    Metrics,
    /// The description of the API.
    ApiDoc,
}

/// One path of the API.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// The path; a part in braces stands for one part that varies.
    pub pattern: &'static str,
    /// What answers there.
    pub endpoint: Endpoint,
    /// The methods that it answers. HEAD is among them wherever GET is.
    pub methods: &'static [Method],
    /// The same as the header field `Allow` of a 405.
    pub allow: &'static [(&'static str, &'static str)],
}

/// The methods that some endpoint answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// Read.
    Get,
    /// As GET, without the body of the answer.
    Head,
    /// Write, or read with a body.
    Post,
}

/// A request that has an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match<'p> {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The method.
    pub method: Method,
    /// What stands in the path where the pattern has braces.
    pub parameter: Option<&'p str>,
}

/// A request that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteError {
    /// 404: no endpoint has this path.
    NotFound,
    /// 405: the path's endpoint does not answer this method.
    MethodNotAllowed {
        /// The header field that lists the methods it answers.
        allow: &'static [(&'static str, &'static str)],
    },
}

impl Endpoint {
    /// Every endpoint.
    pub const ALL: [Endpoint; 9] = [
        Endpoint::Assert,
        Endpoint::AssertBatch,
        Endpoint::Query,
        Endpoint::Retract,
        Endpoint::Assertion,
        Endpoint::Health,
        Endpoint::Ready,
        Endpoint::Metrics,
        Endpoint::ApiDoc,
    ];

    /// The endpoint's name in metrics, snake_case.
    pub fn name(self) -> &'static str {
        match self {
            Endpoint::Assert => "assert",
            Endpoint::AssertBatch => "assert_batch",
            Endpoint::Query => "query",
            Endpoint::Retract => "retract",
            Endpoint::Assertion => "assertion",
            Endpoint::Health => "health",
            Endpoint::Ready => "ready",
            Endpoint::Metrics => "metrics",
            Endpoint::ApiDoc => "api_doc",
        }
    }
}

impl Method {
    /// The method with this name, which is case-sensitive (RFC 9110, section 9.1).
    pub fn from_name(name: &str) -> Option<Method> {
        [Method::Get, Method::Head, Method::Post].into_iter().find(|method| method.name() == name)
    }

    /// The method's name.
    pub fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
        }
    }
}

/// Every path of the API.
pub const ROUTES: &[Route] = &[
    Route::post("/v1/assert", Endpoint::Assert),
    Route::post("/v1/assert/batch", Endpoint::AssertBatch),
    Route {
        pattern: "/v1/query",
        endpoint: Endpoint::Query,
        methods: &[Method::Get, Method::Head, Method::Post],
        allow: &[("allow", "GET, HEAD, POST")],
    },
    Route::post("/v1/retract", Endpoint::Retract),
    Route::get("/v1/assertion/{hash}", Endpoint::Assertion),
    Route::get("/v1/health", Endpoint::Health),
    Route::get("/health", Endpoint::Health),
    Route::get("/ready", Endpoint::Ready),
    Route::get("/metrics", Endpoint::Metrics),
    Route::get("/api-doc/openapi.json", Endpoint::ApiDoc),
];

/// Finds the endpoint for a method and a path, the path decoded and without its query.
///
/// # Errors
///
/// Whether it is the path that is unknown, or only the method that is not answered there.
pub fn route<'p>(method: &str, path: &'p str) -> Result<Match<'p>, RouteError> {
    let found = ROUTES.iter().find_map(|route| Some((route, route.matches(path)?)));
    let Some((route, parameter)) = found else { return Err(RouteError::NotFound) };
    match Method::from_name(method).filter(|method| route.methods.contains(method)) {
        Some(method) => Ok(Match { endpoint: route.endpoint, method, parameter }),
        None => Err(RouteError::MethodNotAllowed { allow: route.allow }),
    }
}

impl Route {
    const fn get(pattern: &'static str, endpoint: Endpoint) -> Route {
        let methods = &[Method::Get, Method::Head];
        Route { pattern, endpoint, methods, allow: &[("allow", "GET, HEAD")] }
    }

    const fn post(pattern: &'static str, endpoint: Endpoint) -> Route {
        Route { pattern, endpoint, methods: &[Method::Post], allow: &[("allow", "POST")] }
    }

    /// Whether the path is one of this route, and what its parameter is.
    fn matches<'p>(&self, path: &'p str) -> Option<Option<&'p str>> {
        if !self.pattern.ends_with('}') {
            return (path == self.pattern).then_some(None);
        }
        let (prefix, _) = self.pattern.split_once('{').expect("what ends has begun");
        let parameter = path.strip_prefix(prefix)?;
        (!parameter.is_empty() && !parameter.contains('/')).then_some(Some(parameter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_answers_its_methods_and_lists_them() {
        for entry in ROUTES {
            let path = entry.pattern.replace("{hash}", "00ff");
            for method in entry.methods {
                let found = route(method.name(), &path).expect("the method is answered");
                assert_eq!((found.endpoint, found.method), (entry.endpoint, *method));
                assert_eq!(found.parameter, entry.pattern.contains('{').then_some("00ff"));
            }
            let names: Vec<_> = entry.methods.iter().map(|method| method.name()).collect();
            assert_eq!(entry.allow, [("allow", names.join(", ").as_str())]);
            assert_eq!(entry.methods.contains(&Method::Get), entry.methods.contains(&Method::Head));
            for method in ["DELETE", "PUT", "OPTIONS", "get", ""] {
                assert_eq!(route(method, &path), Err(RouteError::MethodNotAllowed { allow: entry.allow }));
            }
        }
    }

    #[test]
    fn every_endpoint_has_a_route_and_a_name_of_its_own() {
        for endpoint in Endpoint::ALL {
            assert!(ROUTES.iter().any(|route| route.endpoint == endpoint), "{endpoint:?}");
            assert_eq!(Endpoint::ALL.iter().filter(|other| other.name() == endpoint.name()).count(), 1);
        }
    }

    #[test]
    fn other_paths_are_not_found_whatever_the_method() {
        for path in [
            "",
            "/",
            "/v1",
            "/v1/",
            "/v1/assert/",
            "/v1/ASSERT",
            "/v1/asserts",
            "/v1/assertion",
            "/v1/assertion/",
            "/v1/assertion/a/b",
            "//v1/assert",
            "/v1/health/x",
        ] {
            assert_eq!(route("GET", path), Err(RouteError::NotFound), "{path}");
            assert_eq!(route("POST", path), Err(RouteError::NotFound), "{path}");
        }
    }
}
