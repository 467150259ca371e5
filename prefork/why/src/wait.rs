//! What a system call waits for.

use std::time::Duration;

use crate::{
    Cause, Descriptor, Hidden, Other, Target,
    call::{Call, Shape},
    futex::{futex, timespec},
    lock::lock,
    memory::Memory,
    proc::{Proc, shown},
    resolve::Resolver,
};

/// How many descriptors of one call are resolved.
const MOST: usize = 16;
/// How many children are named for any of which a thread waits.
const MOST_CHILDREN: usize = 4;
/// No more of an array of `poll(2)` is read.
const MOST_POLLED: usize = 4096;
/// How long a path may be: `PATH_MAX`.
const LONGEST_PATH: usize = 4096;

/// Looks into the calls of the threads of one process.
#[derive(Debug)]
pub(crate) struct Waits<'a> {
    pub(crate) process: &'a Proc,
    pub(crate) memory: &'a Memory,
    pub(crate) resolver: &'a Resolver<'a>,
}

impl Waits<'_> {
    /// Finds out what a thread waits for.
    pub(crate) fn cause(&self, tid: u32, call: &Call) -> Cause {
        let one = || only(self.resolver.resolve(call.int(0)));
        match call.shape() {
            Shape::Descriptor => one(),
            Shape::Path(index) => match self.memory.text(call.arguments[index], LONGEST_PATH) {
                Ok(path) if path.is_empty() => Cause::Unnamed,
                Ok(path) => Cause::Path(shown(&path)),
                Err(hidden) => Cause::Hidden(hidden),
            },
            Shape::Connect => self.connect(call),
            Shape::Poll => self.poll(call).unwrap_or_else(Cause::Hidden),
            Shape::Select => self.select(call).unwrap_or_else(Cause::Hidden),
            Shape::Epoll => self.epoll(call).unwrap_or_else(Cause::Hidden),
            Shape::Futex => Cause::Futex(futex(self.process, self.memory, tid, call)),
            Shape::Flock => self.lock(call),
            // `F_SETLKW` and `F_OFD_SETLKW`.
            Shape::Fcntl if matches!(call.int(1), 7 | 38) => self.lock(call),
            Shape::Fcntl => one(),
            Shape::Wait4 => self.child(i64::from(call.int(0))),
            Shape::WaitId => match call.int(0) {
                1 => self.child(i64::from(call.int(1))),
                3 => only(self.resolver.resolve(call.int(1))),
                _ => self.child(-1),
            },
            Shape::Sleep => Cause::Sleep(self.sleep(call)),
            Shape::Signal => Cause::Signal,
            Shape::Other => Cause::Unnamed,
        }
    }

    /// The descriptor of a call in which a thread is that spins.
    pub(crate) fn descriptor(&self, call: &Call) -> Option<Descriptor> {
        match call.shape() {
            Shape::Descriptor | Shape::Connect => Some(self.resolver.resolve(call.int(0))),
            _ => None,
        }
    }

    fn lock(&self, call: &Call) -> Cause {
        let number = call.int(0);
        let file = self.resolver.resolve(number);
        Cause::Lock { file, lock: lock(self.process.pid, self.resolver.inode(number)) }
    }

    /// A socket that connects has its peer once the first packet was sent; before, it is in the argument.
    fn connect(&self, call: &Call) -> Cause {
        let socket = self.resolver.resolve(call.int(0));
        match &socket.target {
            Target::Inet(inet) if inet.peer.is_some() => return only(socket),
            _ => {}
        }
        let length = call.length(2, 128);
        let address = self.memory.read(call.arguments[1], length);
        match address.ok().and_then(|bytes| address_of(&bytes)) {
            Some(to) => Cause::Connect { socket, to },
            None => only(socket),
        }
    }

    fn poll(&self, call: &Call) -> Result<Cause, Hidden> {
        let count = call.length(1, MOST_POLLED);
        let bytes = self.memory.read(call.arguments[0], count * 8)?;
        let (entries, _) = bytes.as_chunks::<8>();
        let all = entries.iter().map(|&[a, b, c, d, ..]| i32::from_ne_bytes([a, b, c, d]));
        let all = all.filter(|number| *number >= 0);
        let limit = match (call.name, call.int(2)) {
            ("poll", limit) => u64::try_from(limit).ok().map(Duration::from_millis),
            _ => self.time(call.arguments[2]),
        };
        Ok(self.some(all.collect(), limit))
    }

    fn select(&self, call: &Call) -> Result<Cause, Hidden> {
        let count = call.length(0, 1024);
        let mut all = Vec::new();
        for address in [call.arguments[1], call.arguments[2]] {
            if address == 0 {
                continue;
            }
            // In words of the machine, the lowest bit first.
            let bytes = self.memory.read(address, count.div_ceil(64) * 8)?;
            let (words, _) = bytes.as_chunks::<8>();
            let bits = (0..words.len() * 64)
                .filter(|bit| u64::from_ne_bytes(words[bit / 64]) >> (bit % 64) & 1 == 1);
            let bits = bits.take_while(|bit| *bit < count);
            all.extend(bits.filter_map(|bit| i32::try_from(bit).ok()));
        }
        let limit = match call.name {
            "pselect6" => self.time(call.arguments[4]),
            _ => None,
        };
        Ok(self.some(all, limit))
    }

    fn epoll(&self, call: &Call) -> Result<Cause, Hidden> {
        let number = call.int(0);
        let all = self.resolver.registered(number)?;
        let limit = match call.name {
            "epoll_pwait2" => self.time(call.arguments[3]),
            _ => u64::try_from(call.int(3)).ok().map(Duration::from_millis),
        };
        if all.is_empty() {
            return Ok(only(self.resolver.resolve(number)));
        }
        Ok(self.some(all, limit))
    }

    /// Resolves several: of many the first.
    fn some(&self, all: Vec<i32>, limit: Option<Duration>) -> Cause {
        let more = all.len().saturating_sub(MOST);
        let all = all.into_iter().take(MOST).map(|fd| self.resolver.resolve(fd)).collect();
        Cause::Descriptors { all, more, limit }
    }

    fn child(&self, pid: i64) -> Cause {
        let children = match u32::try_from(pid) {
            Ok(pid) if pid > 0 => vec![pid],
            // Any, or any of a group.
            _ => self.process.children(MOST_CHILDREN),
        };
        Cause::Child(children.into_iter().map(Other::of).collect())
    }

    /// Only a time that is relative says for how long.
    fn sleep(&self, call: &Call) -> Option<Duration> {
        match call.name {
            "nanosleep" => self.time(call.arguments[0]),
            _ if call.int(1) & TIMER_ABSTIME == 0 => self.time(call.arguments[2]),
            _ => None,
        }
    }

    fn time(&self, address: u64) -> Option<Duration> {
        if address == 0 {
            return None;
        }
        timespec(&self.memory.exactly::<16>(address).ok()?)
    }
}

const TIMER_ABSTIME: i32 = 1;

fn only(descriptor: Descriptor) -> Cause {
    Cause::Descriptors { all: vec![descriptor], more: 0, limit: None }
}

/// Reads a `struct sockaddr`, of IPv4, IPv6 or UNIX.
fn address_of(bytes: &[u8]) -> Option<String> {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
    let [a, b, rest @ ..] = bytes else { return None };
    let family = u16::from_ne_bytes([*a, *b]);
    let port = || rest.first_chunk().copied().map(u16::from_be_bytes);
    match family {
        1 => {
            let name = prefork_netwatch::UnixName::new(rest)?;
            Some(format!("unix {}", shown(name.to_string().as_bytes())))
        }
        2 => {
            let ip: [u8; 4] = rest.get(2..6)?.try_into().ok()?;
            Some(format!("tcp {}", SocketAddr::from((Ipv4Addr::from(ip), port()?))))
        }
        10 => {
            let ip: [u8; 16] = rest.get(6..22)?.try_into().ok()?;
            Some(format!("tcp {}", SocketAddr::from((Ipv6Addr::from(ip), port()?))))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_cut_off_ones_are_none() {
        let v4 = [&2u16.to_ne_bytes()[..], &[0x15, 0x38, 10, 0, 0, 5, 0, 0]].concat();
        assert_eq!(address_of(&v4).as_deref(), Some("tcp 10.0.0.5:5432"));
        let v6 = [&10u16.to_ne_bytes()[..], &[0, 53, 0, 0, 0, 0], &[0; 15], &[1]].concat();
        assert_eq!(address_of(&v6).as_deref(), Some("tcp [::1]:53"));
        let unix = [&1u16.to_ne_bytes()[..], b"/run/x\n.sock\0rest"].concat();
        assert_eq!(address_of(&unix).as_deref(), Some("unix /run/x\\n.sock"));
        for (whole, shortest) in [(&v4, 8), (&v6, 24)] {
            for length in 0..shortest {
                assert_eq!(address_of(&whole[..length]), None, "{length}");
            }
        }
        assert_eq!(address_of(&[99, 0, 0, 0]), None);
    }
}
