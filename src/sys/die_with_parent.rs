//! Ties a short-lived tool to the thread that waits for it.
//!
//! Deliberately not here: processes that outlive the call that started them (servers, engines).

#![expect(unsafe_code, reason = "code between fork and exec cannot be had without it")]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Makes the command's process end, killed, when the thread that spawns it ends (`PR_SET_PDEATHSIG`).
///
/// Only for callers that wait for the command in the same thread.
pub fn die_with_parent(command: &mut Command) {
    let parent = rustix::process::getpid();
    let tie = move || {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        // The parent may have died before the line above.
        if rustix::process::getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::Interrupted.into()) }
    };
    // SAFETY: between fork and exec the closure makes two system calls and allocates nothing.
    unsafe {
        command.pre_exec(tie);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;
    use std::sync::mpsc;

    #[test]
    fn command_ends_with_the_thread_that_spawned_it() {
        let (send, receive) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut command = Command::new("sleep");
            command.arg("600").stdin(Stdio::null());
            die_with_parent(&mut command);
            send.send(command.spawn().unwrap()).unwrap();
        });
        let mut child = receive.recv().unwrap();
        thread.join().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    }
}
