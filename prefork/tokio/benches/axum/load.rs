//! Clients of HTTP/2 whose connections stay, and who count what they lose.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use axum::{body::Bytes, http::Request};
use h2::client::{ResponseFuture, SendRequest};
use tokio::{net::TcpStream, task::JoinSet};

/// What clients have seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    answered: usize,
    /// Requests that were sent and not answered, and connections that were not to be had.
    lost: usize,
    /// Requests that came after the server's farewell, of which it says that nobody has looked at them.
    refused: usize,
    /// How many connections came to an end.
    connections: usize,
}

impl Seen {
    fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        self.lost += other.lost;
        self.refused += other.refused;
        self.connections += other.connections;
    }
}

/// Asks for so long over so many connections, with four requests at once over each.
pub(crate) async fn ask(connections: usize, time: Duration, address: SocketAddr) -> Seen {
    let end = Instant::now() + time;
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        clients.spawn(ask_as_one(address, end));
    }
    let mut sum = Seen::default();
    while let Some(seen) = clients.join_next().await {
        sum.add(&seen.expect("a client does not panic"));
    }
    sum
}

async fn ask_as_one(address: SocketAddr, end: Instant) -> Seen {
    let mut sum = Seen::default();
    while Instant::now() < end {
        sum.connections += 1;
        let Ok(stream) = TcpStream::connect(address).await else {
            sum.lost += 1;
            continue;
        };
        let Ok((sender, connection)) = h2::client::handshake(stream).await else {
            sum.lost += 1;
            continue;
        };
        let connection = tokio::spawn(connection);
        let mut streams = JoinSet::new();
        for _ in 0..4 {
            streams.spawn(ask_on(sender.clone(), end));
        }
        drop(sender);
        while let Some(seen) = streams.join_next().await {
            sum.add(&seen.expect("a client does not panic"));
        }
        connection.abort();
    }
    sum
}

/// Asks until the server says that the connection ends.
async fn ask_on(mut sender: SendRequest<Bytes>, end: Instant) -> Seen {
    let mut seen = Seen::default();
    while Instant::now() < end {
        let Ok(mut ready) = sender.ready().await else { break };
        let request = Request::get("http://test/").body(()).expect("a request");
        // One that is refused here was not sent.
        let Ok((response, _)) = ready.send_request(request, true) else { break };
        match read(response).await {
            Ok(()) => seen.answered += 1,
            Err(error) if error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR) => {
                seen.refused += 1;
                break;
            }
            Err(_) => {
                seen.lost += 1;
                break;
            }
        }
        sender = ready;
    }
    seen
}

async fn read(response: ResponseFuture) -> Result<(), h2::Error> {
    let mut body = response.await?.into_body();
    while let Some(data) = body.data().await {
        data?;
    }
    Ok(())
}
