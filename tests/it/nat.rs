//! `network: nat` of real machines: a world of its own, made of a network namespace whose loopback has every address of
//! two networks, with servers in it; what is reached, what is not, and what is said of it.
//!
//! Only root can make the namespace; where there is none, the tests say so. Not here: the parts (`net::nat`).

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::running::Live;
use crate::support::machines;
use crate::world::{Who, World, as_everyone};

/// The host has 198.18.0.1 and fd12::1; 203.0.113.0/24 and 2001:db8::/64 are the world's, and are answered here.
const NAMESPACE: &str = "ip link set lo up && ip addr add 198.18.0.1/32 dev lo && ip -6 addr add fd12::1/128 dev lo \
    && ip route add local 203.0.113.0/24 dev lo src 198.18.0.1 && ip -6 route add local 2001:db8::/64 dev lo \
    && sysctl -qw net.ipv4.ping_group_range='0 2147483647' && echo ready && exec cat";

/// A namespace; it goes with the value.
struct Namespace {
    holder: Child,
}

impl Namespace {
    fn new() -> Result<Self, String> {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", NAMESPACE]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = command.stderr(Stdio::null()).spawn().map_err(|error| error.to_string())?;
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).map_err(|error| error.to_string())?;
        let namespace = Self { holder };
        if line == "ready\n" { Ok(namespace) } else { Err("no network namespace can be made here".to_owned()) }
    }

    /// Does something in it, on a thread of its own. What that starts is in it too.
    fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let place = File::open(format!("/proc/{}/ns/net", self.holder.id())).unwrap();
        thread::scope(|scope| {
            let work = scope.spawn(move || {
                move_into_link_name_space(std::os::fd::AsFd::as_fd(&place), Some(LinkNameSpaceType::Network)).unwrap();
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

/// Answers questions for names: those that begin with `world` have an address of each family.
fn serve_names(socket: &UdpSocket) {
    let mut buffer = [0; 1500];
    while let Ok((count, from)) = socket.recv_from(&mut buffer) {
        let question = &buffer[..count];
        let Some(length) = question.get(12..).and_then(|name| name.iter().position(|byte| *byte == 0)) else {
            continue;
        };
        let end = 12 + length + 5;
        let is_known = question[13..].starts_with(b"world");
        let mut answer = question[..end].to_vec();
        answer[2] = 0x81;
        answer[3] = if is_known { 0x80 } else { 0x83 };
        answer[6..12].fill(0);
        let address: Option<IpAddr> = match question[end - 3] {
            1 => "203.0.113.7".parse().ok(),
            28 => "2001:db8::7".parse().ok(),
            _ => None,
        };
        if let Some(address) = address.filter(|_| is_known) {
            let octets = match address {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            };
            answer[7] = 1;
            answer.extend([0xc0, 12, 0, question[end - 3], 0, 1, 0, 0, 0, 60, 0, u8::try_from(octets.len()).unwrap()]);
            answer.extend(octets);
        }
        let _ = socket.send_to(&answer, from);
    }
}

/// The servers of a namespace, which live as long as the tests.
struct Servers {
    stream: u16,
    echo: u16,
    names: SocketAddr,
}

fn serve() -> Servers {
    let listener = TcpListener::bind("[::]:0").unwrap();
    let stream = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve_stream(stream));
        }
    });
    let names = UdpSocket::bind("198.18.0.1:0").unwrap();
    let names_at = names.local_addr().unwrap();
    thread::spawn(move || serve_names(&names));
    let echo = UdpSocket::bind("203.0.113.7:0").unwrap();
    let echo_at = echo.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut buffer = [0; 65_535];
        while let Ok((count, from)) = echo.recv_from(&mut buffer) {
            let _ = echo.send_to(&buffer[..count], from);
        }
    });
    Servers { stream, echo: echo_at, names: names_at }
}

/// Runs a script in a machine with this network, in a namespace with servers. What is `$PORT` and `$ECHO` are theirs.
fn run(who: Who, network: &str, script: &str) -> Option<String> {
    let namespace = match Namespace::new() {
        Ok(namespace) => namespace,
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "skipped: {why}");
            return None;
        }
    };
    let world = World::new(who);
    Some(namespace.inside(|| {
        let servers = serve();
        let keys = format!(", network: {network}, env: {{ PORT: \"{}\", ECHO: \"{}\" }}", servers.stream, servers.echo);
        let script: String = script.lines().map(|line| format!("      {line}\n")).collect();
        world.project(&keys, &format!("steps:\n  - shell: bash\n    run: |\n{script}"));
        let mut command = world.command(&["up", "--accel", "tcg", "--progress", "plain"]);
        command.env("SMOLVM_RESOLVERS", servers.names.to_string());
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success(), "{text}");
        world.assert_nothing_stays();
        text
    }))
}

#[track_caller]
fn says(output: &str, words: &[&str]) {
    for word in words {
        assert!(output.contains(word), "`{word}` is not in\n{output}");
    }
}

/// How the shell opens a connection, and what comes of it.
const SHELL: &str = r#"
get() { exec 3<>"/dev/tcp/$1/$PORT" && echo "get $2" >&3 && cat <&3; exec 3>&- ; }
numbers() { seq 1 99999999 | head -c "$1"; }
tried() { if (exec 3<>"/dev/tcp/$1/$2") 2>/tmp/why; then echo "$1 reached"; else echo "$1 not: $(sed 's/.*: //' /tmp/why | tail -1)"; fi; }
"#;

#[test]
fn a_machine_with_a_network_reaches_the_world_and_not_the_host() {
    let Some(_machines) = machines() else { return };
    as_everyone(|who| {
        let script = format!(
            "{SHELL}{}",
            r#"
echo "down $(get 203.0.113.7 30000000 | cksum)" "is $(numbers 30000000 | cksum)"
echo "six $(get 2001:db8::9 1000000 | cksum)" "is $(numbers 1000000 | cksum)"
exec 4<>"/dev/tcp/world.example/$PORT"; echo named
echo "get 5" >&4; head -c 5 <&4; exec 4>&-
exec 5<>"/dev/udp/203.0.113.7/$ECHO"; echo hello >&5; echo "echoed $(timeout 20 head -c 6 <&5)"
getent hosts other.example || echo other unknown
tried 203.0.113.7 1
tried 198.18.0.1 "$PORT"
tried fd12::1 "$PORT"
tried host.smolvm.internal "$PORT"
"#
        );
        let Some(output) = run(who, "nat", &script) else { return };
        says(&output, &["named", "echoed hello", "other unknown"]);
        for line in output
            .lines()
            .filter(|line| line.contains(" is "))
            .filter(|line| line.contains("down ") || line.contains("six "))
        {
            let (one, other) = line.split_once(" is ").unwrap();
            assert!(one.ends_with(other), "{line}");
        }
        says(&output, &["203.0.113.7 not: Connection refused", "198.18.0.1 not: Connection refused"]);
        says(&output, &["fd12::1 not: Connection refused", "host.smolvm.internal not: Connection refused"]);
        says(&output, &[": 198.18.0.1:", "is blocked: it is this computer itself", "have `198.18.0.1` in `allow`"]);
    });
}

#[test]
fn a_list_lets_a_machine_reach_its_names_and_networks_alone_and_the_rest_is_told() {
    let Some(_machines) = machines() else { return };
    let script = format!(
        "{SHELL}{}",
        r#"
tried 203.0.113.7 "$PORT"
getent ahostsv4 world.example >/dev/null && tried 203.0.113.7 "$PORT"
getent hosts world.other.example || echo other unknown
tried 203.0.113.8 "$PORT"
tried 2001:db8::5 "$PORT"
tried 198.18.0.1 "$PORT"
tried host.smolvm.internal "$PORT"
"#
    );
    let network = "{ mode: nat, allow: [world.example, \"2001:db8::/64\", 198.18.0.1, 127.0.0.1] }";
    let Some(output) = run(Who::Ourselves, network, &script) else { return };
    says(&output, &["203.0.113.7 not: Connection refused", "203.0.113.7 reached", "other unknown"]);
    says(&output, &["203.0.113.8 not: Connection refused", "2001:db8::5 reached", "198.18.0.1 reached"]);
    says(&output, &["host.smolvm.internal reached"]);
    says(&output, &["the name `world.other.example` is blocked: it is not in `allow` of its `network`"]);
    says(&output, &["203.0.113.8:", "neither this address nor a name that was answered with it is in `allow`"]);
    let told = output.lines().filter(|line| line.contains("warning") && line.contains("203.0.113.8:")).count();
    assert!(told >= 1, "{output}");
}

#[test]
fn without_a_network_even_root_has_no_way_out() {
    let Some(_machines) = machines() else { return };
    let script = format!(
        "{SHELL}{}",
        r#"
echo "interfaces: $(ls /sys/class/net | tr '\n' ' ')"
test -e /dev/net/tun || echo no tun
ip link add name x0 type veth 2>/dev/null || echo no veth
ip route add default dev lo 2>/dev/null; ip addr add 203.0.113.200/24 dev lo
tried 198.18.0.1 "$PORT"
tried 203.0.113.7 "$PORT"
cat /etc/resolv.conf
getent hosts world.example || echo no names
"#
    );
    let Some(output) = run(Who::Ourselves, "none", &script) else { return };
    says(&output, &["interfaces: lo \n", "no tun", "no names"]);
    assert!(!output.contains("reached"), "{output}");
}

#[test]
fn a_network_whose_server_dies_ends_its_machine_by_name() {
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ourselves);
    world.project(", network: nat", "steps:\n  - { run: \"echo up; sleep 1000\" }\n");
    let mut live: Live = world.up(&[]);
    live.until_output("up");
    let processes = world.processes();
    let server = processes.iter().find(|(_, words)| words.contains(" __net ")).map(|(pid, _)| *pid).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(server).unwrap(), rustix::process::Signal::KILL)
        .unwrap();
    let end = live.until("its end", |event| event["event"] == "machine" && event["phase"] == "failed");
    let cause = end["cause"].as_str().unwrap_or_default();
    assert!(cause.contains("the server of its network died"), "{cause}");
    while live.next().is_some() {}
    world.assert_nothing_stays();
}
