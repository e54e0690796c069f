//! `network: nat` of real machines on a host of a small internet: what is reached, what is not, and what is said of it.
//!
//! Only root can make one; where there is none, the tests say so. Not here: the parts (`net::nat`).

use std::io::Write as _;

use crate::internet::{Internet, NAMES};
use crate::running::Live;
use crate::support::machines;
use crate::world::{Who, World, as_everyone};

/// Runs a script in a machine with this network, on a host of the small internet. `$PORT` and `$ECHO` are its servers'.
fn run(who: Who, network: &str, script: &str) -> Option<String> {
    let (internet, servers) = match Internet::new() {
        Ok(made) => made,
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "skipped: {why}");
            return None;
        }
    };
    let world = World::new(who);
    let keys = format!(", network: {network}, env: {{ PORT: \"{}\", ECHO: \"{}\" }}", servers.stream, servers.echo);
    let script: String = script.lines().map(|line| format!("      {line}\n")).collect();
    let keys = format!("{keys}, mounts: [\"./:/code:ro\"]");
    world.write("project/guest.py", include_str!("nat_guest.py"));
    world.project(&keys, &format!("steps:\n  - shell: bash\n    run: |\n{script}"));
    let mut command = world.command(&["up", "--accel", "tcg", "--progress", "plain"]);
    command.env("SMOLVM_RESOLVERS", NAMES);
    let output = internet.on_host(|| command.output().unwrap());
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{text}");
    world.assert_nothing_stays();
    Some(text)
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
tried 198.18.0.2 "$PORT"
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
        says(&output, &["198.18.0.2 not: Connection refused"]);
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
fn echoes_names_and_datagrams_are_as_on_the_host() {
    let Some(_machines) = machines() else { return };
    let pings = "ping=203.0.113.7 ping=2001:db8::9 ping=10.255.254.1 ping=192.0.2.1 ping=3fff::1 ping=198.18.0.77 \
                 ping=198.18.0.2";
    let script = format!("python3 /code/guest.py mtu names datagrams datagrams6 flows {pings}\n");
    let Some(output) = run(Who::Ordinary, "nat", &script) else { return };
    says(&output, &["mtu -> 65535", "names -> 203.0.113.7; 2001:db8::7; 200; none; cut True, 30 bytes"]);
    says(&output, &["datagrams -> whole", "datagrams6 -> whole", "flows -> 400 of 400, 0 mixed up"]);
    says(&output, &["ping=203.0.113.7 -> answered", "ping=2001:db8::9 -> answered", "ping=10.255.254.1 -> answered"]);
    says(&output, &["ping=192.0.2.1 -> ENETUNREACH", "ping=3fff::1 -> ENETUNREACH"]);
    says(&output, &["ping=198.18.0.77 -> EHOSTUNREACH", "ping=198.18.0.2 -> EHOSTUNREACH"]);
    says(&output, &["198.18.0.2 is blocked: it is this computer itself"]);
}

#[test]
fn thousands_of_connections_and_large_uploads_go_through_a_network() {
    let Some(_machines) = machines() else { return };
    let script = "python3 /code/guest.py upload upload6 connections turns\n";
    let Some(output) = run(Who::Ourselves, "nat", script) else { return };
    says(&output, &["upload -> 32000000 true", "upload6 -> 8000000 true"]);
    says(&output, &["connections -> 1500 of 1500", "turns -> 500 of 500"]);
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
# What is asked along `lo` and not answered is given up after seconds, not minutes.
echo 1 > /proc/sys/net/ipv4/tcp_syn_retries
tried 198.18.0.1 "$PORT"
tried 203.0.113.7 "$PORT"
cat /etc/resolv.conf
getent hosts world.example || echo no names
python3 /code/guest.py raw ways
"#
    );
    let Some(output) = run(Who::Ourselves, "none", &script) else { return };
    says(&output, &["raw -> interfaces []", "125 ways tried, 0 lead on"]);
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
