//! In the place of the status page where the feature `status` is off: none of this can be made, so none of
//! it is ever called.

#![expect(clippy::needless_pass_by_value, reason = "as the status page takes them")]

use std::{convert::Infallible, io, os::fd::OwnedFd, path::Path};

use nix::sys::signal::SigSet;
use prefork_core::Time;
use prefork_daemonize::Privileges;
use rustix::process::Pid;

use crate::{
    board::ParentBoard,
    channels::Handout,
    counters::Counters,
    helper::Helper,
    listeners::{KnownBy, Listeners},
    log::Log,
    logs::Streams,
    os::Title,
    socket_file::Identity,
};

#[derive(Clone, Debug)]
pub(crate) struct Address(Infallible);

#[derive(Debug)]
pub(crate) struct StatusSocket(Infallible);

#[derive(Debug)]
pub(crate) struct Service(Infallible);

#[expect(dead_code, reason = "the status page reads them")]
pub(crate) struct World<'a> {
    pub(crate) name: &'a str,
    pub(crate) handout: &'a Handout,
    pub(crate) streams: Streams,
    pub(crate) listeners: &'a Listeners,
    pub(crate) privileges: &'a Privileges,
    pub(crate) title: &'a mut Title,
    pub(crate) mask: &'a SigSet,
    pub(crate) log: &'a Log,
}

impl Address {
    pub(crate) const fn path(&self) -> Option<&Path> {
        match self.0 {}
    }
}

impl StatusSocket {
    pub(crate) fn bind(address: &Address) -> io::Result<Self> {
        match address.0 {}
    }

    pub(crate) fn obtain(address: &Address, _: Option<(OwnedFd, KnownBy)>) -> io::Result<Self> {
        match address.0 {}
    }

    pub(crate) const fn file(&self) -> Option<Identity> {
        match self.0 {}
    }

    pub(crate) const fn own(&mut self, _: Option<Identity>) {
        match self.0 {}
    }

    pub(crate) const fn known_by(&self) -> &KnownBy {
        match self.0 {}
    }

    pub(crate) const fn descriptor(&self) -> &OwnedFd {
        match self.0 {}
    }

    /// The program of before had a page, and this one cannot: the file of a socket stays, and is stale.
    pub(crate) const fn discard(_: &OwnedFd, _: &KnownBy, _: Option<Identity>) {}
}

impl Service {
    pub(crate) fn new(socket: StatusSocket, _: Option<&ParentBoard>, _: &Log) -> io::Result<Self> {
        match socket.0 {}
    }

    pub(crate) const fn socket(&self) -> &StatusSocket {
        match self.0 {}
    }

    pub(crate) const fn due(&self) -> Option<Time> {
        match self.0 {}
    }

    pub(crate) const fn begin(&mut self) {
        match self.0 {}
    }

    pub(crate) const fn publish(&mut self, _: &Counters, _: usize) {
        match self.0 {}
    }

    pub(crate) fn tend(&mut self, _: Time, _: World<'_>) {
        match self.0 {}
    }

    pub(crate) const fn renew(&mut self, _: Option<&ParentBoard>, _: &Log) -> Option<Helper> {
        match self.0 {}
    }

    pub(crate) const fn release(&mut self) -> Option<Helper> {
        match self.0 {}
    }

    pub(crate) const fn bury(&mut self, _: Pid) -> bool {
        match self.0 {}
    }
}
