//! Threads that have become other users and answer questions about files with the rights of those.
//!
//! Deliberately not here: the questions (`files`). While such a thread lives the process cannot be traced or dumped:
//! the kernel takes that from the whole process when one of its threads changes its ids, and giving it back any
//! earlier would let that user trace a thread of a process of root's. So all of them end with what asks.

use std::collections::HashMap;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use rustix::process::DumpableBehavior;

use super::accounts::Account;
use crate::config::HostIds;

type Question = Box<dyn FnOnce() + Send>;

/// The threads, one a user; each is started by the first question.
#[derive(Debug, Default)]
pub(super) struct Askers {
    started: Mutex<Started>,
}

#[derive(Debug, Default)]
struct Started {
    threads: HashMap<HostIds, (Sender<Question>, JoinHandle<()>)>,
    /// Whether the process could be dumped before the first of them.
    dumpable: Option<DumpableBehavior>,
}

impl Askers {
    /// Asks as a user, by ids and groups.
    pub(super) fn ask<T: Send + 'static>(&self, ids: &HostIds, question: impl FnOnce() -> T + Send + 'static) -> T {
        let questions = self.questions_to(ids);
        let (answer, answered) = channel();
        let question = Box::new(move || {
            let _ = answer.send(question());
        });
        questions.send(question).expect("the thread takes questions until the end");
        answered.recv().expect("a question about a path does not panic")
    }

    fn questions_to(&self, ids: &HostIds) -> Sender<Question> {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        if started.threads.is_empty() {
            started.dumpable = rustix::process::dumpable_behavior().ok();
        }
        let (questions, _) = started.threads.entry(ids.clone()).or_insert_with(|| start(ids));
        questions.clone()
    }
}

impl Drop for Askers {
    fn drop(&mut self) {
        let started = self.started.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (_, (questions, thread)) in started.threads.drain() {
            drop(questions);
            let _ = thread.join();
        }
        let _ = started.dumpable.map(rustix::process::set_dumpable_behavior);
    }
}

fn start(ids: &HostIds) -> (Sender<Question>, JoinHandle<()>) {
    let (questions, asked) = channel::<Question>();
    let HostIds { uid, gid, groups } = ids.clone();
    let account = Account { uid, gid, groups, name: None, home: None };
    let thread = std::thread::spawn(move || {
        // Where these rights cannot be taken, the file server cannot take them either, and says so.
        let _ = account.become_in_this_thread();
        asked.into_iter().for_each(|question| question());
    });
    (questions, thread)
}
