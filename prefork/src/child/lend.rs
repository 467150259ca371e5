//! Listening sockets for servers that listen by themselves.
//!
//! Problem: a server that has a listening socket of its own waits at it in `accept(2)`, in a thread of its own, and nothing
//! is meant to make it stop: closing the socket wakes nobody, shutting it down would do so for all processes that share
//! it. A connection that it has taken just then is lost if the process ends.
//!
//! Idea: what such a server has is a number. It begins at a socket of its own, and finds another behind that number when it
//! asks for the next connection: the shared one at first, and one that does not listen when the child is to leave. A thread
//! that waits already is interrupted, and the kernel looks the number up once more. Then what it has taken is seen among the
//! descriptors of this process, and the child leaves when all of it is served.
//!
//! Assumptions: it waits in `accept(2)`. An event loop that has given a socket to `epoll(7)` has given that very socket, and
//! one that polls a socket that does not listen would do so without end.

mod place;

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use place::{Place, others_are_at_work};
use prefork_netwatch::Endpoint;
use prefork_sockets::{accept_queue, exchange, is_closed};
use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::ioctl_fionread,
};

use super::{Child, Stop};
use crate::{
    disconnect::sockets,
    sys::refused::Refusable,
    system::os::{Poller, Source},
};

/// How long the main loop may wait for a request while its server listens.
const LONG: Duration = Duration::from_secs(24 * 60 * 60);

/// How long between two looks at what is served to its end.
const SHORT: Duration = Duration::from_millis(5);

/// How long nothing must have been there that is to be served: what the server has read may be on its way to the main loop.
const QUIET: Duration = Duration::from_millis(20);

/// How long a connection that was accepted last has for the first byte of its request.
const FIRST_BYTE: Duration = Duration::from_secs(1);

/// How long a connection on which requests keep coming keeps the child: a server that says on none that it will be closed
/// can close it only between two of them, and may lose the second.
const KEPT: Duration = Duration::from_secs(5);

/// How long connections are taken that wait when the daemon stops.
const LAST: Duration = Duration::from_secs(5);

/// A listening socket that a server in this child has in place of its own: see [`Child::lend`].
#[derive(Debug)]
pub struct Lent {
    /// Where the connections come in that are served.
    address: Endpoint,
    /// Set before the socket is taken back.
    leaves: Arc<AtomicBool>,
    keeper: Keeper,
    /// How many requests were finished at the last look.
    finished: u64,
    /// Since when there was nothing to be served.
    quiet_since: Option<Instant>,
}

/// Who takes the socket back.
#[derive(Debug)]
enum Keeper {
    Waiting(JoinHandle<io::Result<()>>),
    /// It has been taken back, at that time.
    Done(Instant),
}

impl Child {
    /// Lends a listening TCP socket to a server in this process that listens by itself.
    ///
    /// For servers that cannot be handed connections, and wait in `accept(2)` in threads of their own: `tiny_http`,
    /// `rouille`, many in C. Have it listen at a port of its own, `127.0.0.1:0`, and give its address as `server`: it goes
    /// on with `listener` in the place of that socket. When the child is asked to leave that is taken back. The server's
    /// next accept fails then, most end with that, and what it has accepted is served: call [`Lent::is_over`], or
    /// [`Lent::wait`], and return from the main loop after that.
    ///
    /// Requests are reported by [`busy`](Self::busy) and [`idle`](Self::idle) where the main loop has them one by one, else by
    /// [`in_flight`](Self::in_flight), so that the pool follows its load. A request that is reported by neither is
    /// served to its end all the same, unless its answer has begun already.
    ///
    /// `listener` is made blocking, for every process that holds it: let no child of the daemon
    /// [`accept`](Self::accept) from it by itself. Servers that wait in an event loop of their own wait for
    /// [`accept_fd`](Self::accept_fd) instead.
    ///
    /// # Errors
    ///
    /// Fails if no socket of this process listens at `server`, or another process has that socket too; if `listener` is none of
    /// TCP, or no thread can be started; with [`one_shot`](crate::Args::one_shot); and in a copy of the child.
    ///
    /// # Signals
    ///
    /// As with [`accept`](Self::accept): `SIGTERM` only asks, and the parent asks without a signal. `SIGURG` gets a handler
    /// that does nothing, and is sent to threads that wait for connections.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use prefork::Args;
    /// use tiny_http::{Response, Server};
    ///
    /// let args = Args::new()
    ///     .after_init(|init| Ok(init.listen("127.0.0.1:8080")?))
    ///     .main_loop(|child, listener| {
    ///         let server = Server::http("127.0.0.1:0")?;
    ///         let address = server.server_addr().to_ip().ok_or("an address of IP")?;
    ///         let mut lent = child.lend(listener, address)?;
    ///         while !lent.is_over(child)? {
    ///             // An error says that it was taken back.
    ///             let Ok(Some(request)) = server.recv_timeout(lent.patience()) else { continue };
    ///             child.busy(request.url());
    ///             // A client that has gone is no reason to end the child.
    ///             let _ = request.respond(Response::from_string("hello\n"));
    ///             child.idle();
    ///         }
    ///         Ok(())
    ///     });
    /// # drop(args);
    /// ```
    pub fn lend(&mut self, listener: &impl AsFd, server: SocketAddr) -> io::Result<Lent> {
        self.require_here()?;
        if self.serves_one_client() {
            return Err(io::Error::other(
                "with one_shot no socket can be lent: a server that accepts by itself takes more than one client",
            ));
        }
        let listener = listener.as_fd();
        let address = Endpoint::of_socket(listener)?;
        if !matches!(address, Endpoint::Ip(_)) || accept_queue(listener).is_none() {
            let problem = "only listening sockets of TCP can be lent";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        let place = Place::of(server)?;
        self.stop.attend();
        let leaves = Arc::new(AtomicBool::new(false));
        let keep = Keep {
            leaves: leaves.clone(),
            poller: self.poller.share()?,
            stop: self.stop.clone(),
            listener: listener.try_clone_to_owned()?,
            place,
        };
        let flags = fcntl_getfl(listener)?;
        fcntl_setfl(listener, flags - OFlags::NONBLOCK).of_call("fcntl(2)")?;
        keep.place.fill(listener)?;
        let thread = thread::Builder::new().name("prefork-lent".to_owned());
        let keeper = Keeper::Waiting(thread.spawn(|| keep.until_asked())?);
        self.say_ready();
        Ok(Lent { address, leaves, keeper, finished: 0, quiet_since: None })
    }
}

impl Lent {
    /// Returns whether the child is to leave, and everything that the server has accepted is served: return from the main loop
    /// then.
    ///
    /// A connection by which no request comes for 20 ms is closed with the process. One by which they keep coming is served for
    /// 5 s more, and may lose one then: let answers say `Connection: close` from the stop on where the server can.
    ///
    /// # Errors
    ///
    /// Fails if the socket could not be taken back, or this process cannot look at its own descriptors.
    pub fn is_over(&mut self, child: &mut Child) -> io::Result<bool> {
        if child.is_copy() {
            return Ok(true);
        }
        let Some(back) = self.taken_back()? else { return Ok(false) };
        // Before the look at what it has: who is in the middle of accepting has it after that.
        let is_at_work = others_are_at_work()? && back.elapsed() < KEPT;
        let finished = child.work.finished();
        let has_gone_on = std::mem::replace(&mut self.finished, finished) != finished;
        // Behind a request that was taken from the server's queue there may be another.
        if is_at_work || has_gone_on || child.work.has_any_in_hand() {
            self.quiet_since = None;
            return Ok(false);
        }
        let connections: Vec<_> = sockets()?.accepted_at(self.address.clone()).collect();
        let ago = back.elapsed();
        if connections.iter().any(|connection| is_to_be_served(*connection, ago)) {
            self.quiet_since = None;
        } else if connections.is_empty() {
            return Ok(true);
        }
        let is_quiet = self.quiet_since.get_or_insert_with(Instant::now).elapsed() >= QUIET;
        Ok(is_quiet)
    }

    /// Returns how long the main loop may wait for a request before it calls [`is_over`](Self::is_over) again: for a
    /// day while the server listens, as its accept fails when the socket is taken back, and for 5 ms after that.
    #[must_use]
    pub fn patience(&self) -> Duration {
        // The server's accept, and with it whatever waits for a request, comes to its end after this was set, and not before.
        if self.leaves.load(Ordering::Acquire) { SHORT } else { LONG }
    }

    /// Waits until it [is over](Self::is_over), for servers that have all their requests in threads of their own.
    ///
    /// # Errors
    ///
    /// Those of [`is_over`](Self::is_over).
    pub fn wait(&mut self, child: &mut Child) -> io::Result<()> {
        self.join()?;
        while !self.is_over(child)? {
            thread::sleep(SHORT);
        }
        Ok(())
    }

    /// Returns since when the server has the socket no more.
    fn taken_back(&mut self) -> io::Result<Option<Instant>> {
        match &self.keeper {
            Keeper::Waiting(thread) if !thread.is_finished() => Ok(None),
            Keeper::Waiting(_) | Keeper::Done(_) => self.join().map(Some),
        }
    }

    fn join(&mut self) -> io::Result<Instant> {
        let now = Instant::now();
        match std::mem::replace(&mut self.keeper, Keeper::Done(now)) {
            Keeper::Waiting(thread) => {
                let outcome = thread.join();
                let now = Instant::now();
                self.keeper = Keeper::Done(now);
                outcome.unwrap_or_else(|_| Err(io::Error::other("its keeper has panicked")))?;
                Ok(now)
            }
            Keeper::Done(at) => {
                self.keeper = Keeper::Done(at);
                Ok(at)
            }
        }
    }
}

/// Whether a connection has a request that was not answered, or is about to, as far as the kernel knows; with how long ago
/// the socket was taken back.
fn is_to_be_served(connection: BorrowedFd<'_>, ago: Duration) -> bool {
    let is_unread = ioctl_fionread(connection).is_ok_and(|unread| unread > 0);
    is_unread
        || exchange(connection).is_some_and(|it| match (it.received, it.sent) {
            (0, _) => ago < FIRST_BYTE,
            (_, 0) => true,
            _ => it.received_ago < it.sent_ago || (it.received_ago < QUIET && ago < KEPT),
        })
}

/// What the thread has that takes a socket back.
#[derive(Debug)]
struct Keep {
    leaves: Arc<AtomicBool>,
    poller: Poller,
    stop: Stop,
    listener: OwnedFd,
    place: Place,
}

impl Keep {
    fn until_asked(self) -> io::Result<()> {
        while !self.stop.is_asked() {
            match self.poller.wait()? {
                Source::Stop => break,
                // Somebody is asked to leave, or it is about logs.
                Source::Call | Source::Listener(_) => {}
            }
        }
        let last = Instant::now() + LAST;
        while self.has_last() && Instant::now() < last {
            thread::sleep(Duration::from_millis(1));
        }
        // Release: pairs with the acquire in `Lent::patience`.
        self.leaves.store(true, Ordering::Release);
        self.place.empty()
    }

    /// Whether clients wait whom nobody else will serve.
    fn has_last(&self) -> bool {
        self.stop.is_draining()
            && is_closed(&self.listener)
            && accept_queue(&self.listener).is_some_and(|queue| queue.waiting > 0)
    }
}
