//! A small internet for tests: this host and the world, two network namespaces with a cable between them, and servers in
//! both.
//!
//! ```text
//! host: 198.18.0.1, 198.18.0.2, fd12::1 ─cable─ 198.18.0.254, fd12::254 :world, all of 203.0.113.0/24 and 2001:db8::/64
//! ```
//!
//! Only root can make it. Not here: what is tried in it (`nat`).

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Where names are known. The world's, and this host's own.
pub(crate) const NAMES: &str = "203.0.113.53:53";

/// The world says of every other address that there is no way to it.
const WORLD: &str = "sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 \
    net.ipv6.ip_nonlocal_bind=1 \
    && ip link set lo up && echo ready && exec cat";

/// `$1` is a process of the world's.
const HOST: &str = "sysctl -qw net.ipv6.conf.default.accept_dad=0 && ip link set lo up \
    && ip link add cable type veth peer name cable netns $1 \
    && nsenter --net=/proc/$1/ns/net sh -c 'ip addr add 198.18.0.254/24 dev cable \
        && ip -6 addr add fd12::254/64 dev cable && ip link set cable up \
        && ip route add local 203.0.113.0/24 dev lo && ip -6 route add local 2001:db8::/64 dev lo' \
    && ip addr add 198.18.0.1/24 dev cable && ip addr add 198.18.0.2/24 dev cable \
    && ip -6 addr add fd12::1/64 dev cable && ip link set cable up \
    && ip route add default via 198.18.0.254 && ip -6 route add default via fd12::254 \
    && sysctl -qw net.ipv4.ping_group_range='0 2147483647' && echo ready && exec cat";

/// The two; they go with the value.
pub(crate) struct Internet {
    host: Namespace,
    world: Namespace,
}

impl Internet {
    /// Makes it, with its servers.
    pub(crate) fn new() -> Result<(Self, Servers), String> {
        let most = getrlimit(Resource::Nofile).maximum;
        // The servers are in this process.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most });
        let world = Namespace::new(WORLD, 0)?;
        let host = Namespace::new(HOST, world.holder.id())?;
        let internet = Self { host, world };
        let servers = internet.world.inside(serve_world);
        internet.host.inside(|| serve_streams(servers.stream));
        Ok((internet, servers))
    }

    /// Does something on this host of it. What that starts is there too.
    pub(crate) fn on_host<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.host.inside(work)
    }
}

/// A namespace; it goes with the value.
struct Namespace {
    holder: Child,
}

impl Namespace {
    fn new(script: &str, other: u32) -> Result<Self, String> {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", script, "sh", &other.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut holder = command.spawn().map_err(|error| error.to_string())?;
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).map_err(|error| error.to_string())?;
        let namespace = Self { holder };
        if line == "ready\n" { Ok(namespace) } else { Err("no network namespace can be made here".to_owned()) }
    }

    /// Does something in it, on a thread of its own.
    fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let place = File::open(format!("/proc/{}/ns/net", self.holder.id())).unwrap();
        thread::scope(|scope| {
            let work = scope.spawn(move || {
                move_into_link_name_space(place.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                work()
            });
            work.join().unwrap()
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // It ends with its input; a second end is none.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Serves lines: `get N` is answered with N bytes, `put` with how many came until the end.
fn serve_stream(mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    if reader.read_line(&mut line).is_err() {
        return;
    }
    if let Some(count) = line.strip_prefix("get ") {
        let count: usize = count.trim().parse().unwrap();
        // A guest may leave before the end.
        let _ = stream.write_all(&pattern(count));
    } else {
        let mut all = Vec::new();
        if reader.read_to_end(&mut all).is_ok() {
            let is_right = all == pattern(all.len());
            let _ = writeln!(stream, "{} {is_right}", all.len());
        }
    }
}

/// Bytes that a shell can make: the numbers from 1, each on a line.
fn pattern(count: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(count + 16);
    let mut number = 1_u64;
    while bytes.len() < count {
        writeln!(bytes, "{number}").unwrap();
        number += 1;
    }
    bytes.truncate(count);
    bytes
}

/// Ports of the servers, which live as long as the tests: those of streams are of every address of the world and of this
/// host, echoes of datagrams are at 203.0.113.7 and 2001:db8::7.
#[derive(Clone, Copy)]
pub(crate) struct Servers {
    pub(crate) stream: u16,
    pub(crate) echo: u16,
}

fn serve_world() -> Servers {
    let stream = serve_streams(0);
    let names: SocketAddr = NAMES.parse().unwrap();
    let (datagrams, listener) = (UdpSocket::bind(names).unwrap(), TcpListener::bind(names).unwrap());
    thread::spawn(move || serve_names(&datagrams));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve_names_on(stream));
        }
    });
    let echo = serve_echo("203.0.113.7:0".parse().unwrap());
    serve_echo(SocketAddr::new("2001:db8::7".parse().unwrap(), echo));
    Servers { stream, echo }
}

fn serve_streams(port: u16) -> u16 {
    let listener = TcpListener::bind(("::", port)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // One that finds no thread is closed.
            let _ = thread::Builder::new().stack_size(64 << 10).spawn(move || serve_stream(stream));
        }
    });
    port
}

fn serve_echo(at: SocketAddr) -> u16 {
    let echo = UdpSocket::bind(at).unwrap();
    let port = echo.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut buffer = [0; 65_535];
        while let Ok((count, from)) = echo.recv_from(&mut buffer) {
            let _ = echo.send_to(&buffer[..count], from);
        }
    });
    port
}

/// Addresses that `many` has: more than any datagram takes.
const MANY: u8 = 200;

/// The answer to a question: names that begin with `world` have an address of each family, `many` has many.
fn answer(question: &[u8], is_datagram: bool) -> Option<Vec<u8>> {
    let length = question.get(12..)?.iter().position(|byte| *byte == 0)?;
    let end = 12 + length + 5;
    let mut answer = question.get(..end)?.to_vec();
    let kind = question[end - 3];
    let (is_known, is_many) = (question[13..].starts_with(b"world"), question[13..].starts_with(b"many"));
    answer[2] = if is_many && is_datagram { 0x83 } else { 0x81 };
    answer[3] = if is_known || is_many { 0x80 } else { 0x83 };
    answer[6..12].fill(0);
    let addresses: Vec<IpAddr> = match kind {
        1 if is_many && !is_datagram => (0..MANY).map(|last| [203, 0, 113, last].into()).collect(),
        1 if is_known => vec!["203.0.113.7".parse().unwrap()],
        28 if is_known => vec!["2001:db8::7".parse().unwrap()],
        _ => Vec::new(),
    };
    answer[7] = u8::try_from(addresses.len()).unwrap();
    for address in addresses {
        let octets = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        answer.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, u8::try_from(octets.len()).unwrap()]);
        answer.extend(octets);
    }
    Some(answer)
}

fn serve_names(socket: &UdpSocket) {
    let mut buffer = [0; 1500];
    while let Ok((count, from)) = socket.recv_from(&mut buffer) {
        if let Some(answer) = answer(&buffer[..count], true) {
            let _ = socket.send_to(&answer, from);
        }
    }
}

fn serve_names_on(mut stream: TcpStream) -> Option<()> {
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length).ok()?;
        let mut question = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut question).ok()?;
        let answer = answer(&question, false)?;
        let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
        stream.write_all(&[&length[..], &answer].concat()).ok()?;
    }
}
