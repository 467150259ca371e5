//! Where a daemon listens, said before it has begun.

use std::io;

use super::Args;
use crate::AnyListener;

impl Args {
    /// Listens at this address, a TCP address or the path of a UNIX socket as
    /// [`Init::listen_any`](crate::Init::listen_any) takes it, and hands the socket to the [`main_loop`](Self::main_loop).
    /// Default: nowhere.
    ///
    /// It is [`after_init`](Self::after_init) with that call and nothing else, for programs that need no more there; and it is how
    /// one of several [`Pools`](crate::Pools) says where it listens, so that the socket can be open before
    /// the pool has a process.
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork::Args;
    ///
    /// let args = Args::new().listen("127.0.0.1:8000").main_loop(|child, listener| {
    ///     while let Some((_connection, _peer)) = child.accept(listener)? {
    ///         // serve it
    ///     }
    ///     Ok(())
    /// });
    /// # drop(args);
    /// ```
    pub fn listen(mut self, address: impl Into<String>) -> Args<AnyListener> {
        let address = address.into();
        self.data.listen.push(address.clone());
        self.after_init(move |init| Ok(init.listen_any(&address)?))
    }

    /// Listens at several addresses, in the same way.
    pub fn listen_all<T: Into<String>>(
        mut self,
        addresses: impl IntoIterator<Item = T>,
    ) -> Args<Vec<AnyListener>> {
        let addresses: Vec<String> = addresses.into_iter().map(Into::into).collect();
        self.data.listen.extend(addresses.iter().cloned());
        self.after_init(move |init| {
            let sockets = addresses.iter().map(|address| init.listen_any(address));
            Ok(sockets.collect::<io::Result<_>>()?)
        })
    }
}

impl<S> Args<S> {
    /// Says at which addresses [`after_init`](Self::after_init) will listen, so that these are open before the pool has a process:
    /// for one of several [`Pools`](crate::Pools) that has more to do there than [`listen`](Self::listen) does. Default: at none.
    ///
    /// The addresses are written as [`Init::listen_any`](crate::Init::listen_any) takes them. A daemon of one pool binds them
    /// in `after_init` alone.
    pub fn listens_at<T: Into<String>>(mut self, addresses: impl IntoIterator<Item = T>) -> Self {
        self.data.listen.extend(addresses.into_iter().map(Into::into));
        self
    }
}
