//! Measures connections between the host and a guest: published ports against QEMU's `hostfwd`, `network: nat` against its
//! user network. The same program serves and asks on all four ways; bytes, connections one after the other, and
//! connections at once. All are interleaved, so that they see the same computer.
//!
//! `make bench` runs it; `-- ROUNDS` sets how many (3 by default). Deliberately not here: whether what comes is right, which
//! tests say.
#![expect(clippy::print_stdout, reason = "the numbers are what it is for")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

mod bare;
mod held;

use held::Held;

const PROJECT: &str = "\
name: bench-net
x-machine: &machine { cpus: 1, memory: 512MiB, workspace: false, mounts: [\"./bin:/bench:ro\"] }
machines:
  server:
    <<: *machine
    command: [/bench/peer, serve, \"7000\"]
    ports: [\"0:7000\"]
  client:
    <<: *machine
    network: { mode: nat, allow: [127.0.0.1] }
";

/// As `peer.c` has them: mebibytes a bulk row, connections of the two others.
const BULK: f64 = 64.0;
const IN_TURN: f64 = 300.0;
const AT_ONCE: f64 = 96.0;

/// Names of the rows in `peer.c`, what a row counts, and its unit.
const ROWS: [(&str, f64, &str); 4] = [
    ("put", BULK, "MiB/s sent"),
    ("get", BULK, "MiB/s received"),
    ("turn", IN_TURN, "connections/s in turn"),
    ("once", AT_ONCE, "connections/s, 16 at once"),
];

/// A process that ends with the value.
struct Running(Child);

impl Running {
    /// Starts it, and waits until it serves; tells on which port.
    fn serving(mut command: Command) -> (Self, u16) {
        let mut running = Self(command.stdout(Stdio::piped()).spawn().expect("the program runs"));
        let output = running.0.stdout.take().expect("its output is a pipe");
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        let mut ports = lines.filter_map(|line| line.split_once("serving ")?.1.trim().parse().ok());
        let port = ports.next().expect("it serves");
        (running, port)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How much of each row a second.
type Rates = BTreeMap<&'static str, f64>;

fn asked(mut command: Command) -> Rates {
    let output = command.output().expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rate = |(name, count, _): (&'static str, f64, _)| {
        let row = text.lines().find_map(|line| line.split_once(&format!("row {name} "))?.1.trim().parse::<f64>().ok());
        let micros =
            row.unwrap_or_else(|| panic!("no row `{name}` in: {text}{}", String::from_utf8_lossy(&output.stderr)));
        (name, count * 1e6 / micros)
    };
    ROWS.into_iter().map(rate).collect()
}

fn client(program: &Path, port: u16) -> Command {
    let mut command = Command::new(program);
    command.args(["client", "127.0.0.1", &port.to_string()]);
    command
}

/// Bare QEMU with its user network.
fn qemu(program: &Path, words: &str, forward: &str) -> Command {
    let mut command = bare::qemu(program, words, &["virtio_net"]);
    command.args(["-netdev", &format!("user,id=net{forward}"), "-device", "virtio-net-device,netdev=net"]);
    command
}

/// A port that nobody has at this moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

/// The address by which a guest with `nat` reaches our loopback.
fn loopback_of(held: &Held) -> String {
    let output = held.command(["exec", "-T", "client", "getent", "ahostsv4", "host.smolvm.internal"]).output();
    let text = String::from_utf8_lossy(&output.expect("smolvm runs").stdout).into_owned();
    text.split_whitespace().next().unwrap_or_else(|| panic!("the name is not known: {text}")).to_owned()
}

fn print(title: &str, own: &[Rates], peer: (&str, &[Rates])) {
    println!("{:<28} {:>10} {:>16} {:>8}", title, "smolvm", peer.0, "times");
    for (name, _, unit) in ROWS {
        let middle = |rates: &[Rates]| bare::median(&rates.iter().map(|rates| rates[name]).collect::<Vec<_>>());
        let (own, other) = (middle(own), middle(peer.1));
        println!("{unit:<28} {own:>10.0} {other:>16.0} {:>8.2}", own / other);
    }
}

fn main() {
    let rounds = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(3_usize);
    let folder = bare::folder("bench-net");
    let program = folder.join("bin/peer");
    bare::compile("peer.c", &program);
    let held = Held::up(&folder, PROJECT);
    let published = held.port("server", 7000);
    let forwarded = free_port();
    let (guest, _) =
        Running::serving(qemu(&program, "serve 7000", &format!(",hostfwd=tcp:127.0.0.1:{forwarded}-:7000")));
    let mut serve = Command::new(&program);
    serve.args(["serve", "0"]);
    let (host, here) = Running::serving(serve);
    let loopback = loopback_of(&held);
    let (mut ports, mut forwards, mut nats, mut users) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        println!("round {}", round + 1);
        ports.push(asked(client(&program, published)));
        forwards.push(asked(client(&program, forwarded)));
        nats.push(asked(held.command(["exec", "-T", "client", "/bench/peer", "client", &loopback, &here.to_string()])));
        users.push(asked(qemu(&program, &format!("client 10.0.2.2 {here}"), "")));
    }
    drop((guest, host));
    println!("medians of {rounds} rounds");
    print("host to guest", &ports, ("QEMU hostfwd", &forwards));
    print("guest to host", &nats, ("QEMU user net", &users));
}
