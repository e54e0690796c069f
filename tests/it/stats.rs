//! `stats` of a machine that holds memory, writes to its disk and is reached by a port, and of one that does not want to be
//! counted.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use rustix::process::Signal;
use serde_json::Value;

use crate::running::EVENT_LIMIT;
use crate::support::machines;
use crate::world::{Who, World};

/// Holds 48 MiB and nine threads, writes 8 MiB to the disk, and sends back what comes. Busy for a second when told so.
const SERVER: &str = r#"
import os, socketserver, threading
held = os.urandom(48 << 20)
for _ in range(8):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
with open('/workspace/file', 'wb') as file:
    file.write(held[:8 << 20])
    file.flush()
    os.fsync(file.fileno())
class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
print('listening', flush=True)
Server(('127.0.0.1', 7), Handler).serve_forever()
"#;

const FILE: &str = "\
name: acme
machines:
  server:
    memory: 512MiB
    ports: [\"0:7\"]
    depends_on: [quiet]
    mounts: [./:/code:ro]
    command: [python3, /code/server.py]
    healthcheck: { log_line: listening, interval: 500ms, retries: 200 }
  quiet: { memory: 256MiB, command: [sleep, infinity] }
";

fn told(world: &World, args: &[&str]) -> String {
    let output = world.command(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn stats(world: &World, args: &[&str]) -> Vec<Value> {
    let text = told(world, &[&["stats", "--format", "json"], args].concat());
    let report: Value = serde_json::from_str(&text).unwrap();
    report["machines"].as_array().unwrap().clone()
}

fn echo(world: &World, bytes: usize) {
    let address = told(world, &["port", "server", "7"]);
    let mut stream = TcpStream::connect(address.trim()).unwrap();
    stream.set_read_timeout(Some(EVENT_LIMIT)).unwrap();
    let mut back = stream.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        back.read_to_end(&mut all).unwrap();
        all.len()
    });
    stream.write_all(&vec![7; bytes]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(reader.join().unwrap(), bytes);
}

#[test]
fn what_a_machine_uses_is_told_as_its_kernel_counts_it() {
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ordinary);
    world.write("project/server.py", SERVER);
    world.write("project/smolvm.yaml", FILE);
    assert_eq!(stats(&world, &["-a"]), Vec::<Value>::new());
    let mut live = world.up(&[]);
    live.until("a healthy server", |event| event["event"] == "service" && event["phase"] == "healthy");

    let before = stats(&world, &["server"]);
    assert_eq!(before.len(), 1, "{before:?}");
    let number = |entry: &Value, key: &str| entry[key].as_u64().unwrap_or_else(|| panic!("{key}: {entry}"));
    echo(&world, 3 << 20);
    let after = stats(&world, &[]);
    let (server, quiet) = (&after[0], &after[1]);
    assert_eq!((server["name"].as_str(), quiet["name"].as_str()), (Some("server"), Some("quiet")));
    for key in ["net_received", "net_sent"] {
        assert_eq!(number(server, key) - number(&before[0], key), 3 << 20, "{key}: {server}");
        assert_eq!(number(quiet, key), 0, "{quiet}");
    }
    assert!(((48 << 20)..(400 << 20)).contains(&number(server, "memory")), "{server}");
    assert!(number(quiet, "memory") < 40 << 20 && number(server, "memory_limit") == 512 << 20, "{after:?}");
    assert!((9..60).contains(&number(server, "tasks")) && number(quiet, "tasks") == 1, "{after:?}");
    assert!(number(server, "disk_written") >= 8 << 20, "{server}");
    assert!(number(server, "host_memory") > 48 << 20 && server["cpu_percent"].is_number(), "{server}");

    // A table that is written anew until nobody holds machines, on whatever screen.
    let mut terminal = world.terminal(&["stats"], 60, 24);
    terminal.until_shown("quiet ");
    terminal.resize(120, 24);
    terminal.until_shown("HOST MEM");
    terminal.until("one table", |screen| screen.contents().matches("MACHINE").count() == 1);
    let table = told(&world, &["stats", "--no-stream"]);
    assert!(table.starts_with("MACHINE  CPU %  MEM USAGE / LIMIT ") && table.lines().count() == 3, "{table}");
    let unknown = world.command(&["stats", "--no-stream", "sever"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("did you mean `server`?"));

    // Root of a machine lets files be waited for that are counted from: it is shown without, and holds up nobody.
    told(
        &world,
        &[
            "exec",
            "quiet",
            "sh",
            "-c",
            "mkfifo /tmp/fifo && mount --bind /tmp/fifo /proc/net/dev && mount --bind \
        /tmp/fifo /sys/fs/cgroup/smolvm/cpu.stat && mount --bind /dev/zero /proc/diskstats",
        ],
    );
    let odd = stats(&world, &["quiet", "server"]);
    assert!(odd[0]["cpu_percent"].is_number() && odd[1]["name"] == "quiet", "{odd:?}");
    told(&world, &["stop", "quiet"]);
    assert_eq!(stats(&world, &[]).len(), 1);
    assert_eq!(
        (told(&world, &["ps", "-q"]), told(&world, &["ps", "-aq"])),
        ("server\n".into(), "server\nquiet\n".into())
    );
    let all = stats(&world, &["-a"]);
    assert!(all[1]["memory"].is_null() && all[1]["host_memory"].is_null(), "{all:?}");

    live.signal(Signal::INT);
    assert_eq!(live.finish().code, Some(130));
    assert_eq!(terminal.end().status.code(), Some(0));
    world.assert_nothing_stays();
}
