//! The hands of a run, as far as connections go: published ports and links of a machine that is up. They end with it.

use std::sync::{Arc, Weak};

use tokio::sync::{Semaphore, mpsc};

use super::worker::Workers;
use crate::guest::{Dial, Linked, Session};
use crate::net::{self, LinkEnd};

/// Refusals of one machine that are under way: each takes a connection of those that are kept for other things too.
const REFUSALS_MAX: usize = 32;

impl Workers {
    /// Lets the machine be reached, and its links reach.
    pub(super) fn connect(self: &Arc<Self>, machine: usize, session: &Session) {
        let Some(dial) = self.slot(machine).lock().dial.clone() else { return };
        let plan = self.plan();
        for (listener, port) in self.published().of(&plan.machines[machine].name) {
            let workers = Arc::downgrade(self);
            // Other machines may be linked to it in the next round.
            let claim = move || Some(net::ports_claim(&workers.upgrade()?.plan().machines, machine));
            self.spawn(machine, net::serve_port(Arc::clone(listener), *port, Arc::clone(&dial), claim));
        }
        if let Some(linked) = session.linked() {
            let workers = Arc::downgrade(self);
            self.spawn(machine, async move { serve_links(&workers, machine, linked).await });
        }
    }

    /// The machine is down: who comes to its ports is sent away, until it is made ready again.
    pub(super) fn refuse(&self, machine: usize) {
        let plan = self.plan();
        for (listener, _) in self.published().of(&plan.machines[machine].name) {
            self.spawn(machine, net::refuse_port(Arc::clone(listener)));
        }
    }

    /// What the guest says is only which of its own links is wanted: with whom it is joined the plan says. Gives back the
    /// machine where the program must be told that there is nobody.
    fn join_link(&self, machine: usize, linked: Linked) -> Option<Arc<dyn Dial>> {
        let from = self.slot(machine).lock().dial.clone()?;
        let plan = self.plan();
        let machines = &plan.machines;
        let link = usize::try_from(linked.link).ok().and_then(|place| machines[machine].links.get(place));
        let to = link.and_then(|link| {
            let place = machines.iter().position(|other| other.name == link.machine)?;
            let slot = self.slot(place);
            let held = slot.lock();
            // Only who has answered can be reached.
            held.is_up().then(|| held.dial.clone()).flatten().map(|dial| (place, dial, link.port))
        });
        let joined = to.is_some_and(|(place, to, port)| {
            let from = LinkEnd { dial: &*from, claim: net::own_links_claim(machines, machine) };
            let to = LinkEnd { dial: &*to, claim: net::link_claim(machines, place, machine) };
            net::join_link(from, linked.ticket, to, port).is_ok()
        });
        (!joined).then_some(from)
    }
}

async fn serve_links(workers: &Weak<Workers>, machine: usize, mut linked: mpsc::Receiver<Linked>) {
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    while let Some(linked) = linked.recv().await {
        let refused = match workers.upgrade() {
            Some(workers) => workers.join_link(machine, linked),
            None => return,
        };
        let Some(from) = refused else { continue };
        let Ok(permit) = Arc::clone(&refusals).acquire_owned().await else { return };
        let Some(workers) = workers.upgrade() else { return };
        workers.spawn(machine, async move {
            // A machine that has gone meanwhile has closed what it had.
            let _ = net::refuse_link(&*from, linked.ticket).await;
            drop(permit);
        });
    }
}
