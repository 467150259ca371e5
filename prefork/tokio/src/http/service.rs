//! Answering requests, each of which is in hand until its answer is sent.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use hyper::{
    Method, Request, Response, Version,
    body::{Body, Frame, Incoming, SizeHint},
    header::{CONNECTION, HeaderValue},
};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::traffic::Traffic;
use crate::room::Held;

/// An app whose requests over one connection are counted.
#[derive(Debug)]
pub(super) struct Counting<S> {
    app: S,
    traffic: Arc<Traffic>,
}

impl<S> Counting<S> {
    pub(super) const fn new(app: S, traffic: Arc<Traffic>) -> Self {
        Self { app, traffic }
    }

    fn begin<B>(&self, request: &Request<B>) -> InHand {
        if request.method() == Method::CONNECT {
            self.traffic.become_tunnel();
        }
        let (method, path) = (request.method().as_str(), request.uri().path());
        let mut label = String::with_capacity(method.len() + 1 + path.len());
        for part in [method, " ", path] {
            label.push_str(part);
        }
        InHand { _held: self.traffic.begin_request(&label), traffic: self.traffic.clone() }
    }
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Counting<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone,
{
    type Response = Response<Answer<B>>;
    type Error = S::Error;
    type Future = Answering<S>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let in_hand = self.begin(&request);
        let is_http2 = request.version() == Version::HTTP_2;
        if is_http2 {
            self.traffic.become_http2();
        }
        Answering {
            state: State::Ready { app: self.app.clone(), request: Some(request) },
            in_hand: Some(in_hand),
            is_http2,
        }
    }
}

/// A request in hand.
#[derive(Debug)]
struct InHand {
    traffic: Arc<Traffic>,
    _held: Held,
}

impl InHand {
    /// Whether the connection ends with the answer.
    fn is_last(&self) -> bool {
        self.traffic.is_to_end()
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.traffic.end_request();
    }
}

pin_project! {
    /// A request that is being answered.
    pub(super) struct Answering<S>
    where
        S: Service<Request<Incoming>>,
    {
        #[pin]
        state: State<S, S::Future>,
        in_hand: Option<InHand>,
        is_http2: bool,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, F> {
        /// The app is asked whether it can take one, as those of tower want to be.
        Ready { app: S, request: Option<Request<Incoming>> },
        Called { #[pin] future: F },
    }
}

impl<S, B> Future for Answering<S>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
{
    type Output = Result<Response<Answer<B>>, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProj::Ready { app, request } => {
                    ready!(app.poll_ready(context))?;
                    let request = request.take().expect("it is called once");
                    let future = app.call(request);
                    this.state.set(State::Called { future });
                }
                StateProj::Called { future } => {
                    let mut response = ready!(future.poll(context))?;
                    let in_hand = this.in_hand.take();
                    let is_last = in_hand.as_ref().is_some_and(InHand::is_last);
                    // HTTP/2 has no such field, and says it otherwise.
                    if is_last && !*this.is_http2 && !is_upgrade(&response) {
                        let close = HeaderValue::from_static("close");
                        response.headers_mut().insert(CONNECTION, close);
                    }
                    return Poll::Ready(Ok(response.map(|body| Answer { body, in_hand })));
                }
            }
        }
    }
}

/// Whether the connection goes on with another protocol.
fn is_upgrade<B>(response: &Response<B>) -> bool {
    response.status() == hyper::StatusCode::SWITCHING_PROTOCOLS
}

pin_project! {
    /// The body of an answer, whose request is in hand until it has ended.
    #[derive(Debug)]
    pub(super) struct Answer<B> {
        #[pin]
        body: B,
        in_hand: Option<InHand>,
    }
}

impl<B: Body> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
