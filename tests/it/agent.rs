//! The agent in real machines: setup, mounts, commands, output, ends.

use crate::machine::Machine;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

#[test]
fn machine_boots_runs_a_command_and_powers_off() {
    block_on(async {
        let start = std::time::Instant::now();
        let mut machine = Machine::boot(512, Vec::new()).await;
        eprintln!("agent {:?}", start.elapsed());
        machine.set_up().await.unwrap();
        eprintln!("setup {:?}", start.elapsed());
        assert_eq!(machine.sh("echo hello").await, "hello\n");
        eprintln!("ran {:?}", start.elapsed());
        eprintln!("{}", machine.sh("mount; ls -la / /dev /run/smolvm; cat /proc/self/cgroup; cat /etc/hosts; id; env; free -m; ip a || true; cat /proc/1/oom_score_adj /proc/self/oom_score_adj; dmesg|tail -5").await);
        let console = machine.power_off().await;
        eprintln!("off {:?} {console}", start.elapsed());
    });
}
