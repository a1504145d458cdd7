//! What a running job answers over HTTP: `/metrics`, `/healthz`, `/readyz`.
//!
//! Reading order: `server` (the port, connections and their bounds), `answer` (paths and statuses), `metrics` (the page).
//! One thread serves; it takes no part in the run, and asks nothing of it that could hold it up.

#[cfg(feature = "http")]
mod answer;
#[cfg(feature = "http")]
mod metrics;
#[cfg(feature = "http")]
mod server;

use std::net::SocketAddr;
#[cfg(feature = "http")]
use std::sync::Arc;

use crate::Result;
use crate::plan::Plan;
use crate::run::Control;

/// The port of a run, open until it is dropped; or none, where none is wanted.
pub(crate) struct Http {
    #[cfg(feature = "http")]
    open: Option<server::Server>,
}

#[cfg(feature = "http")]
impl Http {
    /// Listens, if an address is given.
    ///
    /// # Errors
    /// `Config` where the address cannot be had, `Unavailable` where a thread cannot.
    pub fn start(job: &str, address: Option<SocketAddr>, control: &Control) -> Result<Self> {
        let start = |address| server::Server::start(Arc::new(answer::Subject::new(job, control)), address);
        Ok(Self { open: address.map(start).transpose()? })
    }

    /// Shows what the sources and sinks of a plan have to show, too.
    pub fn watch(&self, plan: &Plan) {
        if let Some(server) = &self.open {
            server.subject().watch(plan);
        }
    }
}

#[cfg(not(feature = "http"))]
impl Http {
    /// Refuses an address.
    ///
    /// # Errors
    /// `Config` where one is given.
    pub fn start(_: &str, address: Option<SocketAddr>, _: &Control) -> Result<Self> {
        match address {
            Some(_) => Err(crate::Error::config("--http is not in this build; build with feature `http` of headwater")),
            None => Ok(Self {}),
        }
    }

    /// Does nothing: nobody listens.
    pub fn watch(&self, _: &Plan) {}
}
