//! The messages of sock_diag(7), and nothing but their bytes.
//!
//! All numbers are in the order of the machine, ports and addresses in that of the network.
//! Whatever the bytes, decoding neither panics nor reads beyond them.

use crate::{Connection, Endpoint, InetSocket, Proto, State, Transport, UnixName, UnixSocket};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

const NLMSG_HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_DUMP: u16 = 0x300;
const SOCK_DIAG_BY_FAMILY: u16 = 20;

const AF_UNIX: u8 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
const IPPROTO_UDP: u8 = 17;
const SOCK_STREAM: u8 = 1;
const SOCK_DGRAM: u8 = 2;

/// "Whatever the cookie", twice.
const NO_COOKIE: [u8; 8] = [0xff; 8];
const ANY_INODE: u32 = 0;
/// All that there are.
const DUMP: u16 = NLM_F_REQUEST | NLM_F_DUMP;

const INET_DIAG_REQ_BYTECODE: u16 = 1;
const INET_DIAG_BC_JMP: u8 = 1;
const INET_DIAG_BC_S_EQ: u8 = 11;

const UDIAG_SHOW_NAME: u32 = 0x1;
const UDIAG_SHOW_PEER: u32 = 0x4;
const UDIAG_SHOW_ICONS: u32 = 0x8;
const UNIX_DIAG_NAME: u16 = 0;
const UNIX_DIAG_PEER: u16 = 2;
const UNIX_DIAG_ICONS: u16 = 3;
const UNIX_DIAG_SHUTDOWN: u16 = 6;
const RCV_SHUTDOWN: u8 = 1;
const SEND_SHUTDOWN: u8 = 2;

/// States that the kernel is asked for: those in which a process may hold the connection.
const fn held_states() -> u32 {
    let mut bits = 0;
    let mut index = 0;
    while index < State::ALL.len() {
        if State::ALL[index].may_be_held() {
            bits |= State::ALL[index].bit();
        }
        index += 1;
    }
    bits
}

/// Asks for all connections of a protocol.
///
/// `ports` are the local ones that are of interest, `None` if all are; the kernel leaves out the
/// others.
pub(super) fn dump_request(proto: Proto, ports: Option<&[u16]>, sequence: u32) -> Vec<u8> {
    match proto {
        Proto::Unix => {
            let states = State::Established.bit();
            unix(DUMP, sequence, states, ANY_INODE, UDIAG_SHOW_NAME | UDIAG_SHOW_PEER)
        }
        Proto::Tcp | Proto::Tcp6 => {
            // One port has a place of its own in the request, which costs the kernel less.
            let port = if let Some([port]) = ports { *port } else { 0 };
            let mut message = inet(sequence, proto, IPPROTO_TCP, held_states(), port);
            if let Some(ports @ [_, _, ..]) = ports {
                attribute(&mut message, INET_DIAG_REQ_BYTECODE, &any_of(ports));
            }
            finish(message)
        }
    }
}

/// Asks for one connection of TCP; `None` for anything else.
pub(super) fn find_request(connection: &Connection, sequence: u32) -> Option<Vec<u8>> {
    let (Endpoint::Ip(local), Endpoint::Ip(foreign)) = (&connection.local, &connection.foreign)
    else {
        return None;
    };
    let mut message = header(NLM_F_REQUEST, sequence);
    message.extend([family(connection.proto), IPPROTO_TCP, 0, 0]);
    message.extend(u32::MAX.to_ne_bytes());
    message.extend(local.port().to_be_bytes());
    message.extend(foreign.port().to_be_bytes());
    for address in [local, foreign] {
        message.extend(address_bytes(connection.proto, address.ip()));
    }
    message.extend(connection.interface.to_ne_bytes());
    message.extend(NO_COOKIE);
    Some(finish(message))
}

/// Asks for all sockets of TCP or UDP of one kind, but for those that no process can hold any more.
pub(super) fn inet_request(transport: Transport, proto: Proto, sequence: u32) -> Vec<u8> {
    let protocol = match transport {
        Transport::Tcp => IPPROTO_TCP,
        Transport::Udp => IPPROTO_UDP,
    };
    finish(inet(sequence, proto, protocol, !State::TimeWait.bit(), 0))
}

/// Asks for all of a protocol in these states, at this local port if it is not 0; attributes may follow.
fn inet(sequence: u32, proto: Proto, protocol: u8, states: u32, port: u16) -> Vec<u8> {
    let mut message = header(DUMP, sequence);
    message.extend([family(proto), protocol, 0, 0]);
    message.extend(states.to_ne_bytes());
    message.extend(port.to_be_bytes());
    message.extend([0; 2 + 16 + 16 + 4]);
    message.extend(NO_COOKIE);
    message
}

/// Asks for one UNIX socket, in whatever state.
pub(super) fn unix_request(inode: u32, sequence: u32) -> Vec<u8> {
    unix(NLM_F_REQUEST, sequence, u32::MAX, inode, UDIAG_SHOW_NAME | UDIAG_SHOW_PEER)
}

/// Asks for all UNIX sockets that listen, with those who wait.
pub(super) fn backlogs_request(sequence: u32) -> Vec<u8> {
    let states = State::Listen.bit();
    unix(DUMP, sequence, states, ANY_INODE, UDIAG_SHOW_NAME | UDIAG_SHOW_ICONS)
}

fn unix(flags: u16, sequence: u32, states: u32, inode: u32, show: u32) -> Vec<u8> {
    let mut message = header(flags, sequence);
    message.extend([AF_UNIX, 0, 0, 0]);
    message.extend(states.to_ne_bytes());
    message.extend(inode.to_ne_bytes());
    message.extend(show.to_ne_bytes());
    message.extend(NO_COOKIE);
    finish(message)
}

/// A program for `inet_diag_bc_run` in the kernel: does the local port equal one of these?
///
/// Each test but the last is followed by a jump to the end, which is "yes". A test that fails goes
/// on behind that jump, and the last one to 4 bytes beyond the end, which is "no".
fn any_of(ports: &[u16]) -> Vec<u8> {
    const TEST: u16 = 8;
    const JUMP: u16 = 4;
    let operation = |code: u8, yes: u16, no: u16| {
        let [yes, _] = yes.to_le_bytes();
        let [low, high] = no.to_ne_bytes();
        [code, yes, low, high]
    };
    let mut program = Vec::with_capacity(ports.len() * usize::from(TEST + JUMP));
    let mut left = u16::try_from(ports.len()).expect("at most MAX_PORTS ports");
    for port in ports {
        left -= 1;
        program.extend(operation(INET_DIAG_BC_S_EQ, TEST, TEST + JUMP));
        program.extend(operation(0, 0, *port));
        if left > 0 {
            let rest = left * (TEST + JUMP) - JUMP;
            program.extend(operation(INET_DIAG_BC_JMP, JUMP, JUMP + rest));
        }
    }
    program
}

/// How many ports a filter in the kernel may name, so that its jumps, of 16 bits, reach the end.
pub(super) const MAX_PORTS: usize = 1024;

fn header(flags: u16, sequence: u32) -> Vec<u8> {
    let mut message = Vec::with_capacity(256);
    message.extend([0; 4]); // the length, once it is known
    message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend([0; 4]); // to the kernel
    message
}

fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len() + 4).expect("a filter of at most MAX_PORTS ports");
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(value);
}

fn finish(mut message: Vec<u8>) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a few kilobytes at most");
    message[..4].copy_from_slice(&length.to_ne_bytes());
    message
}

const fn family(proto: Proto) -> u8 {
    match proto {
        Proto::Tcp => AF_INET,
        Proto::Tcp6 => AF_INET6,
        Proto::Unix => AF_UNIX,
    }
}

fn address_bytes(proto: Proto, ip: IpAddr) -> [u8; 16] {
    match (proto, ip) {
        (Proto::Tcp6, IpAddr::V4(ip)) => ip.to_ipv6_mapped().octets(),
        (_, IpAddr::V6(ip)) => ip.octets(),
        (Proto::Tcp | Proto::Unix, IpAddr::V4(ip)) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&ip.octets());
            bytes
        }
    }
}

/// What an answer consists of, beside the payloads of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// There may be more.
    More,
    /// That was all.
    Last,
    /// It ends with an error of this number, or 0.
    Error(i32),
}

/// Hands the payloads of rows out; what belongs to other questions is left out.
pub(super) fn each_row(
    bytes: &[u8],
    sequence: u32,
    each: &mut impl FnMut(&[u8]) -> Result<Part, Malformed>,
) -> Result<Part, Malformed> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (header, payload) = split(&mut rest)?;
        if header.u32(8) != sequence {
            continue;
        }
        let part = match header.u16(4) {
            NLMSG_DONE | NLMSG_ERROR => Part::Error(Fields(payload).i32_or_zero(0)),
            SOCK_DIAG_BY_FAMILY => each(payload)?,
            _ => Part::More,
        };
        if part != Part::More {
            return Ok(part);
        }
    }
    Ok(Part::More)
}

/// Decodes a `struct inet_diag_msg` with its queues.
pub(super) fn inet_socket(
    transport: Transport,
    proto: Proto,
    payload: &[u8],
) -> Result<Option<InetSocket>, Malformed> {
    let Message::Row(row) = inet_row(proto, payload)? else { return Ok(None) };
    let (Endpoint::Ip(local), Endpoint::Ip(foreign)) = (row.local, row.foreign) else {
        return Ok(None);
    };
    let fields = Fields(payload);
    Ok(Some(InetSocket {
        transport,
        local,
        foreign,
        state: row.state,
        // Of a socket that listens it is how many may wait, which the tables do not show.
        unsent: if row.state == State::Listen { 0 } else { fields.u32(60).into() },
        unread: fields.u32(56).into(),
        resent: fields.0[3].into(),
        inode: row.inode,
    }))
}

/// Decodes a `struct unix_diag_msg` of whatever kind, with name and peer.
pub(super) fn unix_socket(payload: &[u8]) -> Result<UnixSocket, Malformed> {
    let fields = Fields(payload.get(..16).ok_or(Malformed("a row of UNIX is cut off"))?);
    let (mut name, mut peer) = (None, None);
    for attribute in attributes(&payload[16..]) {
        match attribute? {
            (UNIX_DIAG_NAME, value) => name = UnixName::new(value),
            (UNIX_DIAG_PEER, &[a, b, c, d]) => {
                peer = Some(u32::from_ne_bytes([a, b, c, d]).into());
            }
            _ => {}
        }
    }
    Ok(UnixSocket {
        inode: fields.u32(4).into(),
        name,
        listens: State::from_number(fields.0[2]) == Some(State::Listen),
        is_datagram: fields.0[1] == SOCK_DGRAM,
        peer,
    })
}

/// Decodes the same of a socket that listens: its name, and the inodes of those who wait.
pub(super) fn backlog(payload: &[u8]) -> Result<(Option<UnixName>, Vec<u32>), Malformed> {
    let rest = payload.get(16..).ok_or(Malformed("a row of UNIX is cut off"))?;
    let (mut name, mut waiting) = (None, Vec::new());
    for attribute in attributes(rest) {
        match attribute? {
            (UNIX_DIAG_NAME, value) => name = UnixName::new(value),
            (UNIX_DIAG_ICONS, value) => {
                let (words, _) = value.as_chunks::<4>();
                waiting = words.iter().map(|word| u32::from_ne_bytes(*word)).collect();
            }
            _ => {}
        }
    }
    Ok((name, waiting))
}

/// One message of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// A connection.
    Row(Connection),
    /// A socket that is no connection of a kind that is asked for.
    Other,
    /// The end of the answer, with an error number or 0.
    Done(i32),
    /// The request was refused, with an error number; 0 is an acknowledgement.
    Refused(i32),
}

/// A message with what its header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Framed {
    pub(super) sequence: u32,
    /// Whether the kernel says that the table changed in a way that makes the answer useless.
    pub(super) interrupted: bool,
    pub(super) message: Message,
}

/// The bytes cannot be messages of sock_diag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// Splits what was received into messages; after an error there is nothing more.
pub(super) fn messages(bytes: &[u8]) -> impl Iterator<Item = Result<Framed, Malformed>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let framed = first_message(&mut rest);
        if framed.is_err() {
            rest = &[];
        }
        Some(framed)
    })
}

/// Takes the first message off.
fn split<'a>(rest: &mut &'a [u8]) -> Result<(Fields<'a>, &'a [u8]), Malformed> {
    let header = Fields(rest.get(..NLMSG_HEADER).ok_or(Malformed("a header is cut off"))?);
    let length = usize::try_from(header.u32(0)).unwrap_or(usize::MAX);
    if length < NLMSG_HEADER {
        return Err(Malformed("a message is shorter than its header"));
    }
    let payload = rest.get(NLMSG_HEADER..length).ok_or(Malformed("a message is cut off"))?;
    *rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    Ok((header, payload))
}

fn first_message(rest: &mut &[u8]) -> Result<Framed, Malformed> {
    let (header, payload) = split(rest)?;
    let message = match header.u16(4) {
        NLMSG_DONE => Message::Done(Fields(payload).i32_or_zero(0)),
        NLMSG_ERROR => Message::Refused(Fields(payload).i32_or_zero(0)),
        SOCK_DIAG_BY_FAMILY => row(payload)?,
        _ => Message::Other,
    };
    let interrupted = header.u16(6) & NLM_F_DUMP_INTR != 0;
    Ok(Framed { sequence: header.u32(8), interrupted, message })
}

fn row(payload: &[u8]) -> Result<Message, Malformed> {
    match payload.first() {
        Some(&AF_INET) => inet_row(Proto::Tcp, payload),
        Some(&AF_INET6) => inet_row(Proto::Tcp6, payload),
        Some(&AF_UNIX) => unix_row(payload),
        Some(_) => Ok(Message::Other),
        None => Err(Malformed("a row is empty")),
    }
}

/// Decodes a `struct inet_diag_msg`; what follows it is not needed.
fn inet_row(proto: Proto, payload: &[u8]) -> Result<Message, Malformed> {
    let fields = Fields(payload.get(..72).ok_or(Malformed("a row of TCP is cut off"))?);
    let Some(state) = State::from_number(fields.0[1]) else { return Ok(Message::Other) };
    let interface = fields.u32(40);
    let endpoint = |port: usize, address: usize| {
        let port = u16::from_be_bytes(fields.array(port));
        let address = match proto {
            Proto::Tcp | Proto::Unix => {
                SocketAddr::from((Ipv4Addr::from(fields.array::<4>(address)), port))
            }
            Proto::Tcp6 => ipv6(Ipv6Addr::from(fields.array::<16>(address)), port, interface),
        };
        Endpoint::Ip(address)
    };
    Ok(Message::Row(Connection {
        proto,
        local: endpoint(4, 8),
        foreign: endpoint(6, 24),
        state,
        inode: u64::from(fields.u32(68)),
        pid: None,
        interface,
    }))
}

/// Shows IPv4-mapped addresses as IPv4, and gives link-local ones the interface that they need.
fn ipv6(ip: Ipv6Addr, port: u16, interface: u32) -> SocketAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => SocketAddr::from((ip, port)),
        IpAddr::V6(ip) => {
            let scope = if ip.is_unicast_link_local() { interface } else { 0 };
            SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope))
        }
    }
}

/// Decodes a `struct unix_diag_msg` with its attributes.
fn unix_row(payload: &[u8]) -> Result<Message, Malformed> {
    let fields = Fields(payload.get(..16).ok_or(Malformed("a row of UNIX is cut off"))?);
    let (kind, state) = (fields.0[1], fields.0[2]);
    if kind != SOCK_STREAM || State::from_number(state) != Some(State::Established) {
        return Ok(Message::Other);
    }
    let (mut local, mut peer, mut shut) = (Endpoint::Unnamed, 0, 0);
    for attribute in attributes(&payload[16..]) {
        match attribute? {
            (UNIX_DIAG_NAME, value) => {
                local = UnixName::new(value).map_or(Endpoint::Unnamed, Endpoint::Unix);
            }
            (UNIX_DIAG_PEER, &[a, b, c, d]) => peer = u32::from_ne_bytes([a, b, c, d]),
            (UNIX_DIAG_SHUTDOWN, &[bits]) => shut = bits,
            _ => {}
        }
    }
    let state = match (peer, shut & RCV_SHUTDOWN != 0, shut & SEND_SHUTDOWN != 0) {
        (0, _, _) => State::Close,
        (_, false, false) => State::Established,
        (_, true, false) => State::CloseWait,
        (_, false, true) => State::FinWait2,
        (_, true, true) => State::Closing,
    };
    Ok(Message::Row(Connection {
        proto: Proto::Unix,
        local,
        foreign: Endpoint::Unnamed,
        state,
        inode: u64::from(fields.u32(4)),
        pid: None,
        interface: 0,
    }))
}

fn attributes(bytes: &[u8]) -> impl Iterator<Item = Result<(u16, &[u8]), Malformed>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let header = Fields(rest.get(..4)?);
        let (length, kind) = (usize::from(header.u16(0)), header.u16(2));
        let Some(value) = rest.get(4..length) else {
            rest = &[];
            return Some(Err(Malformed("an attribute is cut off")));
        };
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Ok((kind, value)))
    })
}

/// Bytes whose length was checked, with fields at fixed offsets.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(self, offset: usize) -> [u8; N] {
        self.0[offset..offset + N].try_into().expect("as many bytes as were cut out")
    }

    fn u16(self, offset: usize) -> u16 {
        u16::from_ne_bytes(self.array(offset))
    }

    fn u32(self, offset: usize) -> u32 {
        u32::from_ne_bytes(self.array(offset))
    }

    /// The number there; 0 if the bytes end before.
    fn i32_or_zero(self, offset: usize) -> i32 {
        if self.0.len() < offset + 4 { 0 } else { i32::from_ne_bytes(self.array(offset)) }
    }
}
