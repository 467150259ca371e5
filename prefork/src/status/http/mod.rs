//! The page over HTTP, and the metrics.
//!
//! `server.rs`, `connection.rs`, `request.rs` exchange requests and answers; `answer.rs`, `report.rs`, `html/`,
//! `metrics.rs` are what is answered.

mod answer;
mod connection;
mod html;
mod metrics;
mod report;
mod request;
mod server;

pub(crate) use server::serve;
