//! The client of registries, for threads that may block. The runtime below it is its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::{Builder, Runtime};

use super::access::RegistryAccess;
use super::error::PullError;
use super::fetch::{self, Means};
use super::resolve::Resolver;
use super::retry::Notes;
use super::route::Route;
use super::sink::{BlobPlaces, FetchWatch};
use super::surroundings::Surroundings;
use super::{Ask, Resolved};
use crate::config::Reference;
use crate::image::manifest::Descriptor;
use crate::image::waiter::LOOK;

/// Asks registries. One serves any number of threads; it keeps connections and tokens.
#[derive(Debug)]
pub struct Registry {
    access: RegistryAccess,
    surroundings: Arc<Surroundings>,
    /// Nothing after the drop, which does not wait for what still runs in it.
    runtime: Option<Runtime>,
    routes: Mutex<HashMap<(String, String), Arc<Route>>>,
}

impl Registry {
    /// A client; nothing is asked yet.
    ///
    /// # Errors
    /// Where this process cannot have threads.
    pub fn new(access: RegistryAccess) -> Result<Self, PullError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("registry")
            .enable_all()
            .build()
            .map_err(|error| PullError::Client { reason: error.to_string() })?;
        let surroundings = Arc::new(access.surroundings.clone());
        Ok(Self { access, surroundings, runtime: Some(runtime), routes: Mutex::default() })
    }

    /// Finds out what a name is: the manifest for a platform, and its config. All of it is verified.
    ///
    /// # Errors
    /// Where the registry cannot be reached, does not let us in, or has no such image.
    pub fn resolve(&self, ask: &Ask<'_>, watch: &mut dyn FetchWatch) -> Result<Resolved, PullError> {
        let route = self.route(ask.image)?;
        let notes = Notes::default();
        let work = route.first_of(&notes, async |session| {
            Resolver::new(*ask, session, self.access.patience, &notes).resolve().await
        });
        let wait = async {
            loop {
                notes.take().iter().for_each(|words| watch.tell(words));
                if watch.has_left() {
                    return PullError::Left { image: ask.image.to_string() };
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let ended = self.runtime().block_on(async {
            tokio::select! {
                ended = work => ended,
                left = wait => Err(left),
            }
        });
        notes.take().iter().for_each(|words| watch.tell(words));
        ended
    }

    /// Fetches blobs of an image into their places, some at a time; each is verified by the place.
    ///
    /// # Errors
    /// Where one of them cannot be had; what is here of the others is kept.
    pub fn fetch(
        &self,
        image: &Reference,
        blobs: &[Descriptor],
        places: &dyn BlobPlaces,
        watch: &mut dyn FetchWatch,
    ) -> Result<(), PullError> {
        let route = self.route(image)?;
        let means = Means { route: &route, patience: self.access.patience, handle: self.runtime().handle() };
        fetch::fetch(means, image, blobs, places, watch)
    }

    /// The hosts for a repository, kept with their tokens.
    fn route(&self, image: &Reference) -> Result<Arc<Route>, PullError> {
        let key = (image.registry().to_owned(), image.repository().to_owned());
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(route) = routes.get(&key) {
            return Ok(Arc::clone(route));
        }
        let route = Arc::new(Route::new(&self.access, &self.surroundings, image)?);
        routes.insert(key, Arc::clone(&route));
        Ok(route)
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("it is taken by the drop only")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // A name that is being looked up, or a helper that is being ended, is not waited for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
