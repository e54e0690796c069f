//! Measures the round trip of a command in a machine that is up: `smolvm exec` and the library against `ssh` into the
//! same guest, and against the floor, a byte each way over a serial port of virtio in bare QEMU, for which a program is
//! started as well. All are interleaved, so that they see the same computer.
//!
//! `make bench` runs it; `-- ROUNDS` sets how many (60 by default). `scripts/bench-peers.sh` gets the server of ssh; without
//! it, its rows are left out with the reason said. Deliberately not here: what passes through a command.
#![expect(clippy::print_stdout, reason = "the numbers are what it is for")]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use smolvm::{Machine, MachineConfig};

mod bare;
mod held;

use held::Held;

/// A machine with a server of ssh, where it is to be had.
const WITH_SSH: &str = "\
name: bench-exec
machines:
  one:
    cpus: 1
    memory: 512MiB
    workspace: false
    mounts: [{ source: ./ssh, target: /bench, readonly: true }]
    ports: [\"0:22\"]
    command: |
      grep -q ^sshd: /etc/passwd || echo 'sshd:x:74:65534::/run/sshd:/usr/sbin/nologin' >> /etc/passwd
      test -f /etc/shadow || echo 'root:*:1::::::' > /etc/shadow
      sed -i 's/^root:!*/root:*/' /etc/shadow
      mkdir -p /run/sshd
      cp /bench/host /run/host
      chmod 600 /run/host
      export LD_LIBRARY_PATH=/bench/usr/lib/x86_64-linux-gnu:/bench/lib/x86_64-linux-gnu
      exec /bench/usr/sbin/sshd -D -e -f /bench/sshd_config
";

const WITHOUT_SSH: &str = "\
name: bench-exec
machines: { one: { cpus: 1, memory: 512MiB, workspace: false } }
";

const SSHD_CONFIG: &str = "\
Port 22
ListenAddress 0.0.0.0
HostKey /run/host
AuthorizedKeysFile /bench/user.pub
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
UsePAM no
PidFile none
";

/// How long a server or a guest may take to be there.
const PATIENCE: Duration = Duration::from_secs(60);

/// Keys and configuration of both ends, beside the server's files.
fn prepare_ssh(folder: &Path) -> Result<PathBuf, String> {
    let server = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-peers/sshd");
    if !server.join("usr/sbin/sshd").is_file() {
        return Err("no server of ssh is there; `scripts/bench-peers.sh` gets one".to_owned());
    }
    let ssh = folder.join("ssh");
    let status = Command::new("cp").arg("-a").args([&server, &ssh]).status().map_err(|error| error.to_string())?;
    assert!(status.success(), "the build's folder can be written");
    for key in ["host", "user"] {
        let mut command = Command::new("ssh-keygen");
        let status = command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(ssh.join(key)).status();
        if !status.map_err(|error| format!("`ssh-keygen`: {error}"))?.success() {
            return Err("no keys can be made".to_owned());
        }
    }
    fs::write(ssh.join("sshd_config"), SSHD_CONFIG).map_err(|error| error.to_string())?;
    Ok(ssh)
}

/// `ssh` that asks nothing and remembers nothing.
fn ssh(keys: &Path, port: u16, control: Option<&Path>) -> Command {
    let mut command = Command::new("ssh");
    command.args(["-F", "none", "-q", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
    command.args(["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-p", &port.to_string(), "-i"]);
    command.arg(keys.join("user"));
    if let Some(socket) = control {
        command.arg("-o").arg(format!("ControlPath={}", socket.display()));
    }
    command.arg("root@127.0.0.1").stdin(Stdio::null());
    command
}

/// A connection of ssh that others go through; it ends with the value.
struct Master(Child);

impl Master {
    fn start(keys: &Path, port: u16, socket: &Path) -> Self {
        wait_until("a server of ssh", || {
            let status = ssh(keys, port, None).arg("true").status();
            status.is_ok_and(|status| status.success())
        });
        let mut command = ssh(keys, port, Some(socket));
        command.args(["-N", "-o", "ControlMaster=yes"]);
        let master = Self(command.spawn().expect("`ssh` is installed"));
        wait_until("a connection of ssh", || socket.exists());
        master
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Bare QEMU that answers bytes; it ends with the value.
struct Serial {
    qemu: Child,
    port: UnixStream,
}

impl Serial {
    fn start(folder: &Path) -> Self {
        let program = folder.join("bin/peer");
        bare::compile("peer.c", &program);
        let socket = folder.join("serial");
        let mut command = bare::qemu(&program, "serial", &["virtio_console"]);
        command.arg("-chardev").arg(format!("socket,id=port,path={},server=on,wait=off", socket.display()));
        command.args(["-device", "virtio-serial-device", "-device", "virtserialport,chardev=port"]);
        let qemu = command.stdout(Stdio::null()).spawn().expect("QEMU runs");
        wait_until("the socket of QEMU", || socket.exists());
        let port = UnixStream::connect(&socket).expect("QEMU listens");
        port.set_read_timeout(Some(PATIENCE)).expect("a deadline can be set");
        let mut serial = Self { qemu, port };
        serial.round();
        serial
    }

    fn round(&mut self) {
        let mut byte = [7];
        self.port.write_all(&byte).expect("QEMU lives");
        self.port.read_exact(&mut byte).expect("the guest answers");
    }
}

impl Drop for Serial {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

fn wait_until(what: &str, mut is_there: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_there() {
        assert!(Instant::now() < end, "{what} did not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn succeed(mut command: Command) {
    let status = command.status().expect("the program is installed");
    assert!(status.success(), "{command:?}: {status}");
}

/// One of those that are compared.
struct Row<'a> {
    name: &'static str,
    round: Box<dyn FnMut() + 'a>,
    seconds: Vec<f64>,
}

fn row<'a>(name: &'static str, round: impl FnMut() + 'a) -> Row<'a> {
    Row { name, round: Box::new(round), seconds: Vec::new() }
}

fn measure(rounds: usize, rows: &mut [Row<'_>]) {
    // The first three make what later ones find.
    for round in 0..rounds + 3 {
        for row in &mut *rows {
            let start = Instant::now();
            (row.round)();
            if round >= 3 {
                row.seconds.push(start.elapsed().as_secs_f64());
            }
        }
    }
}

fn print(rounds: usize, rows: &[Row<'_>]) {
    let own = rows.iter().find(|row| row.name == "smolvm exec").map(|row| bare::median(&row.seconds));
    println!("{rounds} rounds, milliseconds from nothing to the exit code of a program that does nothing:");
    println!("{:<34} {:>8} {:>8} {:>12}", "", "p50", "p95", "exec is 1");
    for row in rows {
        let (middle, high) = (bare::median(&row.seconds), bare::quantile(&row.seconds, 0.95));
        let times = own.map_or(0.0, |own| middle / own);
        println!("{:<34} {:>8.2} {:>8.2} {:>12.2}", row.name, middle * 1000.0, high * 1000.0, times);
    }
}

fn main() -> ExitCode {
    // The library serves its machine by children that are this program.
    if let Some(code) = smolvm::serve_child() {
        return code;
    }
    let rounds = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(60_usize);
    let folder = bare::folder("bench-exec");
    let keys = prepare_ssh(&folder);
    let held = Held::up(&folder, if keys.is_ok() { WITH_SSH } else { WITHOUT_SSH });
    let mut serial = Serial::start(&folder);
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    let config = MachineConfig { cpus: Some(1), memory_mib: Some(512), ..MachineConfig::new("library") };
    let machine = runtime.block_on(async {
        let machine = Machine::create(config).await.expect("the config is right");
        machine.start().await.expect("a machine boots");
        machine
    });
    let master = keys.as_ref().map(|keys| (keys, held.port("one", 22)));
    let socket = folder.join("master");
    let master = master.map(|(keys, port)| (keys, port, Master::start(keys, port, &socket)));
    let mut rows = vec![
        row("smolvm exec", || succeed(held.command(["exec", "-T", "one", "true"]))),
        row("the library", || {
            let result = runtime.block_on(machine.exec(["true"])).expect("the machine lives");
            assert!(result.success(), "`true` fails");
        }),
        row("a byte over virtio-serial", || serial.round()),
    ];
    match &master {
        Ok((keys, port, _)) => {
            rows.push(row("ssh", || {
                let mut command = ssh(keys, *port, None);
                command.arg("true");
                succeed(command);
            }));
            rows.push(row("ssh, through a connection that is", || {
                let mut command = ssh(keys, *port, Some(&socket));
                command.arg("true");
                succeed(command);
            }));
        }
        Err(reason) => println!("without ssh: {reason}"),
    }
    measure(rounds, &mut rows);
    print(rounds, &rows);
    drop(rows);
    runtime.block_on(machine.stop()).expect("the machine ends");
    ExitCode::SUCCESS
}
