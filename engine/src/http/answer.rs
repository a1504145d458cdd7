//! What is asked for, and what is said.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use prometheus_client::encoding::text;

use super::metrics;
use crate::graph::{Role, TakeMeasures, is_internal};
use crate::plan::Plan;
use crate::progress::{Phase, Progress};
use crate::run::Control;

/// A run loop that has not looked around for so long is stuck.
const SILENCE_MAX: Duration = Duration::from_secs(30);

const PLAIN: &str = "text/plain; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The older form, for those who do not ask for the newer one. The page can be read as either.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The run that is asked about.
pub(super) struct Subject {
    pub job: String,
    control: Control,
    plan: Mutex<Watched>,
}

/// What is known of the plan, once there is one.
#[derive(Clone, Default)]
pub(super) struct Watched {
    /// What each source measures, by topic.
    pub measures: Vec<(String, Arc<TakeMeasures>)>,
    /// The topics that are written.
    pub sinks: Vec<String>,
}

impl Subject {
    pub fn new(job: &str, control: &Control) -> Self {
        Self { job: job.to_owned(), control: control.clone(), plan: Mutex::default() }
    }

    pub fn watch(&self, plan: &Plan) {
        let sink = |role: &Role| if let Role::Sink(sink) = role { Some(sink.topic.clone()) } else { None };
        let sinks = plan.nodes.iter().filter_map(|node| sink(&node.role)).filter(|topic| !is_internal(topic)).collect();
        let watched = Watched { measures: plan.measures.clone(), sinks };
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = watched;
    }

    pub fn watched(&self) -> Watched {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn progress(&self) -> &Progress {
        &self.control.progress
    }

    pub fn answer<B>(self: &Arc<Self>, request: &Request<B>) -> Response<String> {
        let known = matches!(request.uri().path(), "/metrics" | "/healthz" | "/readyz");
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        match request.uri().path() {
            _ if !known => {
                let text = "there are /metrics, /healthz and /readyz".to_owned();
                respond(StatusCode::NOT_FOUND, PLAIN, text + "\n")
            }
            _ if !reads => {
                let mut refusal = respond(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET and HEAD\n".to_owned());
                refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
                refusal
            }
            "/healthz" => verdict(health(&self.progress().phase(), self.progress().silence())),
            "/readyz" => verdict(readiness(&self.progress().phase(), self.control.stopping())),
            _ => self.metrics(request),
        }
    }

    fn metrics<B>(self: &Arc<Self>, request: &Request<B>) -> Response<String> {
        let accepted = request.headers().get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
        let is_open = accepted.into_iter().any(|accept| accept.contains("application/openmetrics-text"));
        let mut page = String::new();
        match text::encode(&mut page, &metrics::registry(self)) {
            Ok(()) => respond(StatusCode::OK, if is_open { OPEN_METRICS } else { PROMETHEUS_TEXT }, page),
            Err(error) => {
                let text = format!("the metrics cannot be written: {error}\n");
                respond(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, text)
            }
        }
    }
}

fn respond(status: StatusCode, content: &'static str, text: String) -> Response<String> {
    let mut response = Response::new(text);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn verdict(good: Result<(), String>) -> Response<String> {
    match good {
        Ok(()) => respond(StatusCode::OK, PLAIN, "ok\n".to_owned()),
        Err(reason) => respond(StatusCode::SERVICE_UNAVAILABLE, PLAIN, reason + "\n"),
    }
}

/// Whether the process can make progress.
fn health(phase: &Phase, silence: Option<Duration>) -> Result<(), String> {
    match (phase, silence) {
        (failed @ Phase::Failed(_), _) => Err(failed.to_string()),
        (_, Some(silence)) if silence > SILENCE_MAX => {
            Err(format!("the run loop is stuck: it has not looked around for {} s", silence.as_secs()))
        }
        _ => Ok(()),
    }
}

/// Whether records are being processed.
fn readiness(phase: &Phase, stopping: bool) -> Result<(), String> {
    match phase {
        Phase::Running if stopping => Err(Phase::Stopping.to_string()),
        Phase::Running => Ok(()),
        other => Err(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(control: &Control, path: &str) -> (u16, String) {
        let subject = Arc::new(Subject::new("shown", control));
        let response = subject.answer(&Request::get(path).body(()).expect("a request"));
        (response.status().as_u16(), response.into_body())
    }

    #[test]
    fn a_run_loop_that_stopped_looking_around_is_unhealthy() {
        let after = |seconds| health(&Phase::Running, Some(Duration::from_secs(seconds)));
        assert_eq!(after(30), Ok(()));
        assert_eq!(after(31), Err("the run loop is stuck: it has not looked around for 31 s".to_owned()));
        let control = Control::default();
        assert_eq!(control.progress.silence(), None, "it does not run yet");
        control.progress.enter(Phase::Running);
        assert!(control.progress.silence().is_some_and(|silence| silence < SILENCE_MAX));
    }

    #[test]
    fn only_a_run_that_failed_is_unhealthy_and_only_one_that_runs_is_ready() {
        let control = Control::default();
        let cases = [
            (Phase::Opening, 200, 503, "opening\n"),
            (Phase::StandingBy, 200, 503, "standing by\n"),
            (Phase::Waiting("no broker answers".into()), 200, 503, "waiting: no broker answers\n"),
            (Phase::Running, 200, 200, "ok\n"),
            (Phase::Stopping, 200, 503, "stopping\n"),
            (Phase::Failed("the disk is gone".into()), 503, 503, "failed: the disk is gone\n"),
        ];
        for (phase, healthy, ready, reason) in cases {
            control.progress.enter(phase);
            assert_eq!(answers(&control, "/healthz").0, healthy, "{reason}");
            assert_eq!(answers(&control, "/readyz"), (ready, reason.to_owned()));
        }
        control.progress.restoring(2, 5);
        assert_eq!(answers(&control, "/healthz").0, 200);
        assert_eq!(answers(&control, "/readyz"), (503, "restoring 40 %\n".to_owned()));
        let page = answers(&control, "/metrics").1;
        assert!(page.contains("headwater_restore_done_records{job=\"shown\"} 2\n"), "{page}");
        assert!(page.contains("headwater_restore_expected_records{job=\"shown\"} 5\n"), "{page}");
        assert!(page.contains("headwater_phase{job=\"shown\",phase=\"restoring\"} 1\n"), "{page}");
    }
}
