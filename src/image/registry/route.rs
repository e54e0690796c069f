//! The hosts that may have an image, one after another.

use std::sync::Arc;

use super::access::RegistryAccess;
use super::endpoint::endpoints;
use super::error::PullError;
use super::retry::Notes;
use super::session::Session;
use super::surroundings::Surroundings;
use crate::config::Reference;

/// Sessions with mirrors, then with the registry itself.
#[derive(Debug)]
pub(super) struct Route {
    sessions: Vec<Session>,
}

impl Route {
    pub(super) fn new(
        access: &RegistryAccess,
        surroundings: &Arc<Surroundings>,
        image: &Reference,
    ) -> Result<Self, PullError> {
        let endpoints = endpoints(access, image.registry())?;
        let session = |endpoint| Session::new(endpoint, image.repository(), Arc::clone(surroundings));
        Ok(Self { sessions: endpoints.into_iter().map(session).collect() })
    }

    /// What the first host gives that gives it. A mirror that fails is told of, and not asked again.
    pub(super) async fn first_of<'a, T>(
        &'a self,
        notes: &Notes,
        mut ask: impl AsyncFnMut(&'a Session) -> Result<T, PullError>,
    ) -> Result<T, PullError> {
        let (registry, mirrors) = self.sessions.split_last().expect("the registry itself is always one of them");
        for mirror in mirrors.iter().filter(|mirror| !mirror.is_down()) {
            match ask(mirror).await {
                // What the store or we ourselves cannot do no other host can mend.
                Err(error @ (PullError::Store { .. } | PullError::Left { .. })) => return Err(error),
                Err(error) => {
                    mirror.give_up();
                    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                    notes.tell(format!("mirror `{}` is passed over: {error}{cause}", mirror.endpoint.name));
                }
                done => return done,
            }
        }
        ask(registry).await
    }
}
