//! What answers requests.

use hyper::{
    Request, Response,
    body::{Body, Incoming},
};
use prefork::BoxError;
use tower_service::Service;

/// What answers requests: a `Router` of axum, or whatever else is a service of tower that can. It is implemented for all of
/// these, and cannot be elsewhere.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot answer requests",
    note = "it must be a `tower_service::Service<hyper::Request<hyper::body::Incoming>>` that is `Clone`, `Send` and \
            `'static`, as a `Router` of axum with its state is",
    note = "its response must be a `hyper::Response` with a body that is `Send`, and its errors a `BoxError`"
)]
pub trait App:
    Service<
        Request<Incoming>,
        Response = Response<<Self as App>::Body>,
        Future: Send,
        Error: Into<BoxError>,
    > + Clone
    + Send
    + 'static
{
    /// What its answers consist of.
    type Body: Body<Data: Send, Error: Into<BoxError>> + Send + 'static;
}

impl<S, B> App for S
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Body = B;
}
