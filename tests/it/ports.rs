//! Published ports and links of real machines: bytes, ends, many at once, and nothing but what is declared.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::registry::images::noise;
use crate::running::{EVENT_LIMIT, Live};
use crate::support::machines;
use crate::world::{Who, World, as_everyone};

/// Answers by the first byte: `e` echoes; `h` reads to the end, then says the SHA-256 of it all; `f` says nothing but bytes
/// for ever; `g` sends as many MiB as the next eight digits say, each with its number, and ends; `r` breaks off behind four
/// bytes. The limit of open files is raised, as any server does that has thousands of connections.
const SERVER: &str = r#"
import hashlib, resource, socket, socketserver, struct, threading
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        kind = self.request.recv(1)
        if kind == b'e':
            while data := self.request.recv(65536):
                self.request.sendall(data)
        elif kind == b'h':
            digest = hashlib.sha256()
            while data := self.request.recv(65536):
                digest.update(data)
            self.request.sendall(digest.hexdigest().encode())
        elif kind == b'f':
            while True:
                self.request.sendall(b'x' * 65536)
        elif kind == b'g':
            for number in range(int(self.request.recv(8))):
                self.request.sendall(number.to_bytes(4, 'big') + bytes((1 << 20) - 4))
        elif kind == b'r':
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            self.request.sendall(b'half')
            self.request.close()
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    request_queue_size = 4096
    daemon_threads = True
threading.stack_size(65536)
print('listening', flush=True)
Server(('127.0.0.1', 7), Handler).serve_forever()
"#;

/// Connections at the same time.
const MANY: usize = 600;

fn address(world: &World) -> String {
    let output = world.command(&["port", "server", "7"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(EVENT_LIMIT)).unwrap();
    stream
}

fn start(world: &World, rest: &str) -> Live {
    world.write("project/server.py", SERVER);
    let text = format!(
        "name: acme\nmachines:\n  server:\n    memory: 512MiB\n    ports: [\"0:7\"]\n    mounts: [./:/code:ro]\n    \
         command: [python3, /code/server.py]\n    healthcheck: {{ log_line: listening, interval: 500ms, retries: 200 }}\n{rest}"
    );
    world.write("project/smolvm.yaml", &text);
    world.up(&[])
}

fn stop(world: &World, mut live: Live) {
    live.signal(rustix::process::Signal::INT);
    let ended = live.finish();
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    world.assert_nothing_stays();
}

fn until_healthy(live: &mut Live) {
    live.until("a healthy server", |event| event["event"] == "service" && event["phase"] == "healthy");
}

#[test]
fn bytes_and_ends_of_many_connections_arrive() {
    let Some(_machines) = machines() else { return };
    as_everyone(|who| {
        let world = World::new(who);
        let mut live = start(&world, "");
        until_healthy(&mut live);
        let address = address(&world);
        // One after the other waits for its echo while all are open.
        let mut open: Vec<TcpStream> = (0..MANY).map(|_| connect(&address)).collect();
        for (place, stream) in open.iter_mut().enumerate() {
            stream.write_all(format!("e{place:08}").as_bytes()).unwrap();
        }
        for (place, stream) in open.iter_mut().enumerate() {
            let mut echo = [0; 8];
            stream.read_exact(&mut echo).unwrap();
            assert_eq!(echo, format!("{place:08}").as_bytes());
        }
        drop(open);
        // A half that is closed leaves the other open; what goes through is whole.
        let sent = noise(16 << 20);
        let mut stream = connect(&address);
        stream.write_all(b"h").unwrap();
        stream.write_all(&sent).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut told = String::new();
        stream.read_to_string(&mut told).unwrap();
        let expected: String = Sha256::digest(&sent).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(told, expected);
        read_numbered(&address, 32);
        // What breaks off is not taken for all that there was.
        let mut stream = connect(&address);
        stream.write_all(b"r").unwrap();
        let mut got = Vec::new();
        assert_eq!(stream.read_to_end(&mut got).unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(got, b"half");
        stop(&world, live);
    });
}

/// Reads as many MiB, each of which has its number.
fn read_numbered(address: &str, count: u32) {
    let mut stream = connect(address);
    stream.write_all(format!("g{count:08}").as_bytes()).unwrap();
    let mut piece = vec![0; 1 << 20];
    for number in 0..count {
        stream.read_exact(&mut piece).unwrap();
        let (head, rest) = piece.split_at(4);
        assert!(head == number.to_be_bytes() && rest.iter().all(|byte| *byte == 0), "the {number}th MiB");
    }
    assert_eq!(stream.read(&mut piece).unwrap(), 0);
}

/// Sends as many MiB, each with its number, and compares what the server has read.
fn send_numbered(address: &str, count: u32) {
    let mut stream = connect(address);
    stream.write_all(b"h").unwrap();
    let mut digest = Sha256::new();
    let mut piece = vec![7; 1 << 20];
    for number in 0..count {
        piece[..4].copy_from_slice(&number.to_be_bytes());
        digest.update(&piece);
        stream.write_all(&piece).unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).unwrap();
    let expected: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(told, expected);
}

/// Sends its place through each connection.
fn say(streams: &mut [TcpStream]) {
    for (place, stream) in streams.iter_mut().enumerate() {
        stream.write_all(format!("e{place:08}").as_bytes()).unwrap();
    }
}

/// The places that did not come back within the limit.
fn unheard(streams: &mut [TcpStream], places: impl IntoIterator<Item = usize>, limit: Duration) -> Vec<usize> {
    let end = Instant::now() + limit;
    let has_not = |place: &usize| {
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let stream = &mut streams[*place];
        stream.set_read_timeout(Some(left)).unwrap();
        let mut echo = [0; 8];
        match stream.read_exact(&mut echo) {
            Ok(()) => {
                assert_eq!(echo, *format!("{place:08}").as_bytes());
                false
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "connection {place}: {error}");
                true
            }
        }
    };
    places.into_iter().filter(has_not).collect()
}

/// All of these connections are served.
fn assert_served(streams: &mut [TcpStream]) {
    say(streams);
    let count = streams.len();
    assert_eq!(unheard(streams, 0..count, EVENT_LIMIT), Vec::<usize>::new());
}

#[test]
fn more_connections_than_a_machine_may_have_wait_and_harm_nobody() {
    let Some(_machines) = machines() else { return };
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).unwrap();
    let world = World::new(Who::Ourselves);
    world.write("project/echo.py", ECHO);
    let text = "name: acme\nmachines:\n  server:\n    memory: 512MiB\n    ports: [\"0:7\"]\n    mounts: [./:/code:ro]\n    \
                command: [python3, /code/echo.py]\n    \
                healthcheck: { log_line: listening, interval: 500ms, retries: 200 }\n";
    world.write("project/smolvm.yaml", text);
    let mut live = world.up(&[]);
    until_healthy(&mut live);
    let address = address(&world);
    // A burst of more than the guest's kernel keeps for a program loses none.
    let mut burst: Vec<TcpStream> = (0..2500).map(|_| connect(&address)).collect();
    assert_served(&mut burst);
    let mut more: Vec<TcpStream> = (0..1800).map(|_| connect(&address)).collect();
    say(&mut more);
    let waiting = unheard(&mut more, 0..1800, Duration::from_secs(20));
    assert!(waiting.len() >= 300, "{} wait", waiting.len());
    // Who is there is served on; commands have connections of their own.
    assert_served(&mut burst[..10]);
    let output = world.command(&["exec", "server", "echo", "alive"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "alive\n", "{}", String::from_utf8_lossy(&output.stderr));
    // Those that wait are served when others have gone.
    drop(burst);
    assert_eq!(unheard(&mut more, waiting, EVENT_LIMIT), Vec::<usize>::new());
    drop(more);
    stop(&world, live);
}

/// Echoes all, but for the `e` that comes first; for thousands of connections on one thread.
const ECHO: &str = r#"
import asyncio, resource
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
async def echo(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data.replace(b'e', b''))
            await writer.drain()
    except OSError:
        pass
    writer.close()
async def main():
    async with await asyncio.start_server(echo, '127.0.0.1', 7, backlog=4096) as server:
        print('listening', flush=True)
        await server.serve_forever()
asyncio.run(main())
"#;

#[test]
fn a_hundred_megabytes_each_way_leave_commands_their_time() {
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ourselves);
    let mut live = start(&world, "");
    until_healthy(&mut live);
    let address = address(&world);
    thread::scope(|scope| {
        let sends = scope.spawn(|| send_numbered(&address, 128));
        let reads = scope.spawn(|| read_numbered(&address, 128));
        while !sends.is_finished() || !reads.is_finished() {
            let output = world.command(&["exec", "server", "echo", "alive"]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), "alive\n");
        }
    });
    stop(&world, live);
}

#[test]
#[ignore = "a gigabyte each way through an emulated machine takes minutes"]
fn a_gigabyte_each_way_arrives_as_it_was() {
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ourselves);
    let mut live = start(&world, "");
    until_healthy(&mut live);
    let address = address(&world);
    send_numbered(&address, 1024);
    read_numbered(&address, 1024);
    stop(&world, live);
}

#[test]
#[ignore = "ten thousand connections one after the other take minutes in an emulated machine"]
fn ten_thousand_short_connections_leave_nothing() {
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ourselves);
    let mut live = start(&world, "");
    until_healthy(&mut live);
    let address = address(&world);
    let files = || std::fs::read_dir(format!("/proc/{}/fd", live.pid())).unwrap().count();
    let short = |count: usize| {
        for _ in 0..count {
            assert_served(&mut [connect(&address)]);
        }
    };
    short(100);
    let (before, memory) = (files(), resident_kib(live.pid()));
    short(10_000);
    let (after, grown) = (files(), resident_kib(live.pid()).saturating_sub(memory));
    assert!(after < before + 20 && grown < 16 << 10, "{before} descriptors became {after}, {grown} KiB more");
    stop(&world, live);
}

#[test]
fn who_does_not_read_holds_up_nobody_else() {
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ourselves);
    let mut live = start(&world, "");
    until_healthy(&mut live);
    let address = address(&world);
    let before = resident_kib(live.pid());
    let mut idle: Vec<TcpStream> = (0..100).map(|_| connect(&address)).collect();
    for stream in &mut idle {
        stream.write_all(b"f").unwrap();
    }
    // All of them are stuck when an echo has gone through after each has begun to send.
    for stream in &mut idle {
        stream.read_exact(&mut [0; 1]).unwrap();
    }
    for _ in 0..20 {
        let mut stream = connect(&address);
        stream.write_all(b"esmall").unwrap();
        let mut echo = [0; 5];
        stream.read_exact(&mut echo).unwrap();
        assert_eq!(&echo, b"small");
    }
    let grown = resident_kib(live.pid()).saturating_sub(before);
    assert!(grown < 64 << 10, "{grown} KiB more");
    drop(idle);
    stop(&world, live);
}

/// Memory of a process that is in RAM and its own: the guest's, of which it sees more and more, is not.
fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_link_reaches_the_declared_port_by_name_and_nothing_else() {
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ourselves);
    let client = r#"
import hashlib, os, resource, select, socket
# Where the agent has no descriptors left, who comes is served once it has some.
known = os.listdir('/proc/1/fd')
limits = resource.prlimit(1, resource.RLIMIT_NOFILE)
free = next(number for number in range(limits[0]) if str(number) not in known)
resource.prlimit(1, resource.RLIMIT_NOFILE, (free, limits[1]))
late = socket.create_connection(('server', 7), 60)
late.sendall(b'elate')
assert not select.select([late], [], [], 0.5)[0], 'it is served without a descriptor'
resource.prlimit(1, resource.RLIMIT_NOFILE, limits)
got = b''
while len(got) < 4:
    got += late.recv(4)
assert got == b'late', got
def refused(host, port):
    try:
        socket.create_connection((host, port), 20).close()
        return False
    except OSError:
        return True
assert refused('server', 8), 'another port of the service'
assert refused('server', 22), 'another port of the service'
assert refused('127.0.0.1', 7), 'the service itself'
link = socket.create_connection(('server', 7), 60)
data = bytes(range(256)) * 65536
link.sendall(b'h' + data)
link.shutdown(socket.SHUT_WR)
told = link.recv(1000)
assert told == hashlib.sha256(data).hexdigest().encode(), told
many = [socket.create_connection(('server', 7), 60) for _ in range(200)]
for number, each in enumerate(many):
    each.sendall(b'e%08d' % number)
for number, each in enumerate(many):
    got = b''
    while len(got) < 8:
        got += each.recv(8)
    assert got == b'%08d' % number, got
broken = socket.create_connection(('server', 7), 60)
broken.sendall(b'r')
assert broken.recv(4) == b'half'
try:
    broken.recv(1)
    raise SystemExit('an end where the service broke off')
except ConnectionResetError:
    pass
print('all is well')
"#;
    world.write("project/client.py", client);
    let rest = "  client:\n    memory: 256MiB\n    depends_on: [server]\n    links: [\"server:7\"]\n    mounts: [./:/code:ro]\nsteps:\n  - { machine: client, run: [python3, /code/client.py] }\n";
    let live = start(&world, rest);
    let ended = live.finish();
    assert_eq!(ended.code, Some(0), "{}\n{:#?}", ended.stderr, ended.events);
    assert!(ended.events.iter().any(|event| event["text"].as_str().is_some_and(|text| text.contains("all is well"))));
    world.assert_nothing_stays();
}

#[test]
fn a_port_that_is_taken_is_told_before_anything_boots() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let second = std::net::TcpListener::bind("[::1]:0").unwrap();
    let other = second.local_addr().unwrap().port();
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ourselves);
    let text = format!(
        "name: acme\nmachines:\n  web: {{ ports: [\"{port}:80\", \"0:82\", \"[::1]:{other}:81\"] }}\nsteps:\n  - {{ machine: web, run: \"true\" }}\n"
    );
    world.write("project/smolvm.yaml", &text);
    let output = world.command(&["up", "--accel", "tcg"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(125), "{stderr}");
    assert!(stderr.contains(&format!("cannot publish port 80 of machine `web` on 127.0.0.1:{port}")), "{stderr}");
    assert!(stderr.contains(&format!("cannot publish port 81 of machine `web` on [::1]:{other}")), "{stderr}");
    let own = std::process::id();
    assert!(stderr.contains(&format!("(process {own}) has port {port}: end it, or publish another port")), "{stderr}");
    assert!(!stderr.contains("booting"), "{stderr}");
    world.assert_nothing_stays();
}

#[test]
fn a_port_on_which_nobody_listens_in_the_guest_ends_at_once() {
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ourselves);
    let text = "name: acme\nmachines:\n  quiet:\n    memory: 256MiB\n    ports: [\"0:81\"]\n    command: \"echo here; sleep 600\"\n    healthcheck: { log_line: here, interval: 500ms, retries: 200 }\n";
    world.write("project/smolvm.yaml", text);
    let mut live = world.up(&[]);
    until_healthy(&mut live);
    let output = world.command(&["port", "quiet", "81"]).output().unwrap();
    let address = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let reader = thread::spawn(move || connect(&address).read(&mut [0; 1]));
    // An end would look like a program that has nothing to say.
    assert_eq!(reader.join().unwrap().unwrap_err().kind(), ErrorKind::ConnectionReset);
    stop(&world, live);
}
