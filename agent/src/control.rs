//! The control connection: one request after the other, each answered; what takes time has a thread of its own.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use smolvm_agent::{Answer, Failure, FailureKind, HEARTBEAT_SECONDS, Reply, Request, Setup, SetupMount};

use crate::commands::Commands;
use crate::mounts::{self, Mounted};
use crate::streams::Streams;
use crate::sys::VsockListener;
use crate::wire::{Answers, Reports, eprint_kernel, read_request};
use crate::{exec, kernel_log, outputs, power, setup, stats};

/// Everything that requests work on.
pub(crate) struct Control {
    answers: Arc<Answers>,
    reports: Arc<Reports>,
    commands: Arc<Commands>,
    streams: Arc<Streams>,
    hostname: String,
    is_set_up: bool,
    /// `None` before the mounts were asked for.
    mounts: Option<Vec<Mounted>>,
}

impl Control {
    pub(crate) fn new(answers: Answers, reports: Reports, listener: VsockListener) -> Self {
        Self {
            answers: Arc::new(answers),
            reports: Arc::new(reports),
            commands: Arc::new(Commands::default()),
            streams: Arc::new(Streams::new(listener)),
            hostname: String::new(),
            is_set_up: false,
            mounts: None,
        }
    }

    /// Serves until the host asks for the end or is gone; then the machine powers off.
    pub(crate) fn serve(mut self, stream: &File) -> ! {
        let heartbeats = Arc::clone(&self.answers);
        spawn("heartbeat", move || beat(&heartbeats));
        let commands = Arc::clone(&self.commands);
        spawn("reaper", move || commands.reap());
        let streams = Arc::clone(&self.streams);
        spawn("streams", move || streams.accept());
        loop {
            match read_request(stream) {
                Ok(Some(numbered)) => self.answer(numbered.id, numbered.request),
                // The host is gone, or is not what it should be.
                Ok(None) | Err(_) => power::off_at_once(),
            }
        }
    }

    fn answer(&mut self, id: u32, request: Request) {
        let reply = match request {
            Request::Setup(setup) => self.set_up(&setup),
            Request::Ping => Ok(Reply::Done),
            _ if !self.is_set_up => Err(other("the machine is not set up".to_owned())),
            Request::Mount { mounts } => self.mount(&mounts),
            Request::ResolveUser { user } => exec::look_user_up(&user).map(Reply::User),
            Request::RefreshShares => self.refresh_shares(),
            Request::Exec(exec) => {
                let stream = self.streams.take(exec.id);
                exec::start(exec, stream, &self.hostname, &self.commands, &self.reports).map(|()| Reply::Done)
            }
            Request::Signal { exec, signal } => match self.commands.signal(exec, signal) {
                Ok(()) => Ok(Reply::Done),
                Err(error) => Err(other(format!("cannot send signal {signal}: {error}"))),
            },
            Request::SignalProcess { exec, signal } => match self.commands.signal_process(exec, signal) {
                Ok(()) => Ok(Reply::Done),
                Err(error) => Err(other(format!("cannot send signal {signal}: {error}"))),
            },
            Request::Resize { exec, size } => match self.commands.resize(exec, size) {
                Ok(()) => Ok(Reply::Done),
                Err(error) => Err(other(format!("cannot change the size of the terminal: {error}"))),
            },
            Request::Terminate { exec, grace_ms } => {
                self.terminate(exec, Duration::from_millis(grace_ms));
                Ok(Reply::Done)
            }
            Request::EndBackground { grace_ms } => {
                return self.answer_later(id, "ending", move |commands| {
                    power::end_commands(commands, Duration::from_millis(grace_ms));
                    Ok(Reply::Done)
                });
            }
            Request::MissingOutputs { patterns } => {
                return self.answer_later(id, "outputs", move |_| missing_outputs(&patterns));
            }
            Request::Stats => {
                return self.answer_later(id, "stats", |_| stats::read().map(Reply::Stats).map_err(other));
            }
            Request::Shutdown { grace_ms } => {
                self.reply(id, Ok(Reply::Done));
                let mounts = self.mounts.take().unwrap_or_default();
                power::shut_down(&self.commands, &self.reports, &mounts, Duration::from_millis(grace_ms));
            }
        };
        self.reply(id, reply);
    }

    fn reply(&self, id: u32, reply: Result<Reply, Failure>) {
        self.answers.send(&Answer::Reply { id, reply: reply.unwrap_or_else(Reply::Failed) });
    }

    /// Works on a thread, so that other requests and the end of the connection are not held up.
    fn answer_later(
        &self,
        id: u32,
        name: &str,
        work: impl FnOnce(&Commands) -> Result<Reply, Failure> + Send + 'static,
    ) {
        let (answers, commands) = (Arc::clone(&self.answers), Arc::clone(&self.commands));
        let spawned = thread::Builder::new().name(name.to_owned()).spawn(move || {
            let reply = work(&commands).unwrap_or_else(Reply::Failed);
            answers.send(&Answer::Reply { id, reply });
        });
        if let Err(error) = spawned {
            self.reply(id, Err(other(format!("cannot start a thread: {error}"))));
        }
    }

    fn set_up(&mut self, setup: &Setup) -> Result<Reply, Failure> {
        if self.is_set_up {
            return Err(other("the machine is set up already".to_owned()));
        }
        setup::set_up(setup, &self.answers)?;
        self.is_set_up = true;
        self.hostname.clone_from(&setup.hostname);
        let reports = Arc::clone(&self.reports);
        spawn("kernel log", move || {
            // A kernel without a readable log has no warnings to forward.
            let _ = kernel_log::forward(&reports);
        });
        Ok(Reply::Done)
    }

    fn mount(&mut self, mounts: &[SetupMount]) -> Result<Reply, Failure> {
        if self.mounts.is_some() {
            return Err(other("the mounts are made already".to_owned()));
        }
        self.mounts = Some(setup::mount_all(mounts)?);
        Ok(Reply::Done)
    }

    fn refresh_shares(&self) -> Result<Reply, Failure> {
        fs::write("/proc/sys/vm/drop_caches", "2")
            .map_err(|error| other(format!("cannot drop what is cached of the shares: {error}")))?;
        mounts::refresh(self.mounts.as_deref().unwrap_or_default())
            .map_err(|error| other(format!("a share does not answer: {error}")))?;
        Ok(Reply::Done)
    }

    fn terminate(&self, exec: u64, grace: Duration) {
        let Some(cgroup) = self.commands.cgroup(exec) else {
            return;
        };
        let ending = Arc::clone(&cgroup);
        let spawned = thread::Builder::new().name("ending".to_owned()).spawn(move || ending.terminate(grace));
        if spawned.is_err() {
            // Without a thread there is no grace.
            cgroup.kill();
        }
    }
}

fn other(message: String) -> Failure {
    Failure { kind: FailureKind::Other, message }
}

fn missing_outputs(patterns: &[String]) -> Result<Reply, Failure> {
    let mut missing = Vec::new();
    for (place, pattern) in (0..).zip(patterns) {
        if !outputs::is_there(Path::new("/"), pattern).map_err(other)? {
            missing.push(place);
        }
    }
    Ok(Reply::Missing(missing))
}

fn beat(answers: &Answers) -> ! {
    loop {
        thread::sleep(Duration::from_secs(HEARTBEAT_SECONDS));
        answers.send(&Answer::Heartbeat);
    }
}

/// Starts a thread. Without one the agent cannot do its work, and the kernel's end of PID 1 tells the host so.
fn spawn(name: &str, work: impl FnOnce() + Send + 'static) {
    if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(work) {
        eprint_kernel(&format!("cannot start a thread for {name}: {error}"));
        std::process::abort();
    }
}
