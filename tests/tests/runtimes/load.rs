//! Clients that ask without end over connections that stay, and remember by whom they were answered.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use axum::{body::Bytes, http::Request};
use h2::client::{ResponseFuture, SendRequest};
use tokio::{net::TcpStream, runtime, task::JoinSet};

use crate::kept::Kept;

/// Clients at work.
pub(crate) struct Stayers {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Seen>>,
}

/// What clients have seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) answered: usize,
    pub(crate) lost: Vec<Lost>,
    /// How many requests over HTTP/2 crossed with the word that no more are taken.
    pub(crate) refused: usize,
}

/// A request that was not answered.
#[derive(Debug)]
pub(crate) struct Lost {
    /// Who has answered over this connection before; nobody, if it was the first.
    pub(crate) worker: Option<u32>,
    #[expect(dead_code, reason = "it is shown when a test fails")]
    pub(crate) error: String,
}

impl Stayers {
    /// Starts so many clients of HTTP/1.1, and so many of HTTP/2 with four requests at once each.
    pub(crate) fn start(http1: usize, http2: usize, address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients: Vec<_> = (0..http1)
            .map(|_| {
                let stop = stop.clone();
                thread::spawn(move || ask(address, &stop))
            })
            .collect();
        let stopped = stop.clone();
        clients.push(thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(ask_all_by_http2(http2, address, &stopped))
        }));
        Self { stop, clients }
    }

    /// Lets every client finish the request in hand, and returns what they have seen.
    pub(crate) fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut sum = Seen::default();
        for client in self.clients {
            sum.add(client.join().expect("a client does not panic"));
        }
        sum
    }
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.lost.extend(other.lost);
        self.refused += other.refused;
    }

    fn note(&mut self, worker: &mut Option<u32>, answer: Result<String, String>) -> bool {
        match answer
            .and_then(|body| body.trim().parse().map_err(|error| format!("{body:?}: {error}")))
        {
            Ok(pid) => {
                *worker = Some(pid);
                self.answered += 1;
                true
            }
            Err(error) => {
                self.lost.push(Lost { worker: *worker, error });
                false
            }
        }
    }
}

/// Asks over one connection after the other, each as long as it stays.
fn ask(address: SocketAddr, stop: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    while !stop.load(Ordering::Relaxed) {
        let mut worker = None;
        let mut connection = match Kept::to(address) {
            Ok(connection) => connection,
            Err(error) => {
                seen.lost.push(Lost { worker, error: format!("not connected: {error}") });
                continue;
            }
        };
        while !stop.load(Ordering::Relaxed) {
            let answer = connection.ask("/pid");
            let is_last = answer.as_ref().is_ok_and(|answer| answer.is_last);
            let answer = answer.map(|answer| answer.body).map_err(|error| error.to_string());
            if !seen.note(&mut worker, answer) || is_last {
                break;
            }
        }
    }
    seen
}

async fn ask_all_by_http2(connections: usize, address: SocketAddr, stop: &Arc<AtomicBool>) -> Seen {
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        clients.spawn(ask_by_http2(address, stop.clone()));
    }
    let mut sum = Seen::default();
    while let Some(seen) = clients.join_next().await {
        sum.add(seen.expect("a client does not panic"));
    }
    sum
}

async fn ask_by_http2(address: SocketAddr, stop: Arc<AtomicBool>) -> Seen {
    let mut sum = Seen::default();
    while !stop.load(Ordering::Relaxed) {
        match connect(address).await {
            Ok(sender) => {
                let mut streams = JoinSet::new();
                for _ in 0..4 {
                    streams.spawn(ask_on(sender.clone(), stop.clone()));
                }
                while let Some(seen) = streams.join_next().await {
                    sum.add(seen.expect("a client does not panic"));
                }
            }
            Err(error) => sum.lost.push(Lost { worker: None, error }),
        }
    }
    sum
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Bytes>, String> {
    let failed = |error: &dyn std::error::Error| format!("not connected: {error}");
    let stream = TcpStream::connect(address).await.map_err(|error| failed(&error))?;
    let (sender, connection) =
        h2::client::handshake(stream).await.map_err(|error| failed(&error))?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Asks until the server says that the connection ends.
async fn ask_on(sender: SendRequest<Bytes>, stop: Arc<AtomicBool>) -> Seen {
    let mut seen = Seen::default();
    let mut worker = None;
    let mut sender = Some(sender);
    while !stop.load(Ordering::Relaxed)
        && let Some(waiting) = sender.take()
        && let Ok(mut ready) = waiting.ready().await
    {
        let request = Request::get("http://test/pid").body(()).expect("a request");
        // One that is refused here was not sent.
        let Ok((response, _)) = ready.send_request(request, true) else { break };
        sender = Some(ready);
        match read(response).await {
            // The server answers for it that nobody has looked at it: a client sends it again, elsewhere.
            Err(error) if error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR) => {
                seen.refused += 1;
                break;
            }
            answer => {
                if !seen.note(&mut worker, answer.map_err(|error| format!("{error:?}"))) {
                    break;
                }
            }
        }
    }
    seen
}

async fn read(response: ResponseFuture) -> Result<String, h2::Error> {
    let mut body = response.await?.into_body();
    let mut text = String::new();
    while let Some(data) = body.data().await {
        text.push_str(&String::from_utf8_lossy(&data?));
    }
    Ok(text)
}
