//! The hands of a run, as far as connections go: published ports and links of a machine that is up. They end with it.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::worker::Workers;
use crate::guest::{Linked, Session};
use crate::net;

impl Workers {
    /// Lets the machine be reached, and its links reach.
    pub(super) fn connect(self: &Arc<Self>, machine: usize, session: &Session) {
        let Some(dial) = self.slot(machine).lock().dial.clone() else { return };
        for (listener, port) in self.published().of(&self.plan().machines[machine].name) {
            self.spawn(machine, net::serve_port(Arc::clone(listener), *port, Arc::clone(&dial)));
        }
        if let Some(linked) = session.linked() {
            let workers = Arc::downgrade(self);
            self.spawn(machine, async move { serve_links(&workers, machine, linked).await });
        }
    }

    /// What the guest says is only which of its own links is wanted: with whom it is joined the plan says.
    fn join_link(&self, machine: usize, linked: Linked) {
        let Some(from) = self.slot(machine).lock().dial.clone() else { return };
        let plan = self.plan();
        let links = &plan.machines[machine].links;
        let link = usize::try_from(linked.link).ok().and_then(|place| links.get(place));
        let to = link.and_then(|link| {
            let place = plan.machines.iter().position(|other| other.name == link.machine)?;
            let slot = self.slot(place);
            let held = slot.lock();
            // Only who has answered can be reached.
            held.is_up().then(|| held.dial.clone()).flatten().map(|dial| (dial, link.port))
        });
        // A machine that has gone meanwhile has closed what it had.
        let _ = match to {
            Some((to, port)) => {
                net::join_link(&*from, linked.ticket, &*to, port).or_else(|_| net::refuse_link(&*from, linked.ticket))
            }
            None => net::refuse_link(&*from, linked.ticket),
        };
    }
}

async fn serve_links(workers: &std::sync::Weak<Workers>, machine: usize, mut linked: mpsc::Receiver<Linked>) {
    while let Some(linked) = linked.recv().await {
        let Some(workers) = workers.upgrade() else { return };
        workers.join_link(machine, linked);
    }
}
