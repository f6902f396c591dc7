//! The paths of the metrics listener and what each answers.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};

use super::encode::{MEDIA_TYPE, exposition};
use super::readiness::{self, NotReady, Started};
use crate::stats::StatsHandle;

/// What responses are made from.
#[derive(Clone, Debug)]
pub(super) struct Endpoints {
    /// Takes reports.
    pub(super) stats: StatsHandle,
    /// Whether there are any yet.
    pub(super) started: Started,
}

impl Endpoints {
    /// The response to a request with this method and path.
    pub(super) async fn respond(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if !PATHS.contains(&path) {
            return text(StatusCode::NOT_FOUND, &format!("there are {}\n", PATHS.join(", ")));
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD only\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let Self { stats, started } = self;
        match path {
            METRICS => match readiness::report(stats, started).await {
                Ok(report) => response(StatusCode::OK, MEDIA_TYPE, exposition(&report)),
                Err(reason) => unavailable(&reason),
            },
            READINESS => match readiness::check(stats, started).await {
                Ok(()) => text(StatusCode::OK, "ready\n"),
                Err(reason) => unavailable(&reason),
            },
            _ => text(StatusCode::OK, "ok\n"),
        }
    }
}

fn unavailable(NotReady(reason): &NotReady) -> Response<Full<Bytes>> {
    text(StatusCode::SERVICE_UNAVAILABLE, &format!("{reason}\n"))
}

fn text(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", body.to_owned())
}

fn response(status: StatusCode, media_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

const METRICS: &str = "/metrics";
const READINESS: &str = "/readyz";
const HEALTH: &str = "/healthz";
const PATHS: [&str; 3] = [METRICS, HEALTH, READINESS];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{Report, StatsError};

    fn endpoints(report: fn(Option<usize>) -> Result<Report, StatsError>) -> Endpoints {
        let started = Started::default();
        started.set();
        Endpoints { stats: StatsHandle::answering(report), started }
    }

    #[tokio::test]
    async fn each_path_and_method_has_its_status() {
        let endpoints = endpoints(|_| Ok(Report::default()));
        for (method, path, status) in [
            (Method::GET, "/metrics", 200),
            (Method::HEAD, "/metrics", 200),
            (Method::GET, "/healthz", 200),
            (Method::POST, "/metrics", 405),
            (Method::DELETE, "/readyz", 405),
            (Method::GET, "/", 404),
            (Method::POST, "/metric", 404),
            (Method::GET, "/metrics/", 404),
        ] {
            let response = endpoints.respond(&method, path).await;
            assert_eq!(response.status().as_u16(), status, "{method} {path}");
        }
        let response = endpoints.respond(&Method::GET, "/metrics").await;
        assert_eq!(response.headers()[CONTENT_TYPE], MEDIA_TYPE);
    }

    #[tokio::test]
    async fn health_needs_no_report_and_the_others_do() {
        let endpoints = endpoints(|_| Err(StatsError::Stopping));
        for (path, status) in [("/healthz", 200), ("/metrics", 503), ("/readyz", 503)] {
            let response = endpoints.respond(&Method::GET, path).await;
            assert_eq!(response.status().as_u16(), status, "{path}");
        }
    }
}
