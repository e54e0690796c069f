//! One repository at one host: requests with what they need to be let in, by the protocol that is spoken there.
//!
//! ```text
//! get ─► send ─► 401 ─► challenge ─► login (once) ─► token or password ─► send again ─► answer
//! ```

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HeaderValue, RANGE};
use reqwest::{Response, StatusCode};
use tokio::sync::{Mutex, OnceCell};

use super::body;
use super::endpoint::{Endpoint, Protocol};
use super::login::{self, Login, Secret};
use super::surroundings::Surroundings;
use super::token::{self, Challenge, TokenAsk};
use super::wire::{WireError, explain};

/// The two schemes, by whether there is TLS.
const SCHEMES: [(bool, &str); 2] = [(true, "https"), (false, "http")];

/// A repository at a host.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) endpoint: Endpoint,
    /// Its name there.
    repository: String,
    surroundings: Arc<Surroundings>,
    /// Whether it speaks TLS, once that is known.
    is_tls: OnceLock<bool>,
    /// What is sent along.
    authorization: Mutex<Option<HeaderValue>>,
    login: OnceCell<Result<Option<Login>, String>>,
    /// Whether it failed before, so that others are asked first.
    is_down: AtomicBool,
}

/// What a request asks for besides its path.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Request<'a> {
    /// After the repository.
    pub(super) path: &'a str,
    pub(super) accept: Option<&'a str>,
    /// From this byte on.
    pub(super) from: u64,
}

impl Session {
    pub(super) fn new(endpoint: Endpoint, repository: &str, surroundings: Arc<Surroundings>) -> Self {
        let repository = format!("{}{repository}", endpoint.folder);
        let is_tls = OnceLock::new();
        if endpoint.protocol != Protocol::Either {
            let _ = is_tls.set(endpoint.protocol == Protocol::Https);
        }
        Self {
            endpoint,
            repository,
            surroundings,
            is_tls,
            authorization: Mutex::new(None),
            login: OnceCell::new(),
            is_down: AtomicBool::new(false),
        }
    }

    /// Whether it failed before.
    pub(super) fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Relaxed)
    }

    /// It failed.
    pub(super) fn give_up(&self) {
        self.is_down.store(true, Ordering::Relaxed);
    }

    /// An answer of success (200, 206), or why there is none.
    pub(super) async fn get(&self, request: Request<'_>) -> Result<Response, WireError> {
        let mut used = self.authorization.lock().await.clone();
        // Once as we are, once with what is asked for, once more where that had become too old.
        for _ in 0..3 {
            let response = self.send(request, used.as_ref()).await?;
            match response.status() {
                StatusCode::OK | StatusCode::PARTIAL_CONTENT => return Ok(response),
                StatusCode::UNAUTHORIZED => {
                    let challenge = token::challenge(response.headers());
                    drop(response);
                    let next = self.authorize(challenge, used.as_ref()).await?;
                    if next.is_none() || next == used {
                        break;
                    }
                    used = next;
                }
                StatusCode::FORBIDDEN => return Err(self.refused(used.is_some()).await),
                _ => return Err(body::refused(response, self.endpoint.stall).await),
            }
        }
        Err(self.refused(false).await)
    }

    async fn send(&self, request: Request<'_>, authorization: Option<&HeaderValue>) -> Result<Response, WireError> {
        if let Some(is_tls) = self.is_tls.get() {
            return self.send_by(*is_tls, request, authorization).await;
        }
        match self.send_by(true, request, authorization).await {
            Ok(response) => {
                let _ = self.is_tls.set(true);
                Ok(response)
            }
            // Nobody speaks TLS there: as docker does it, on this computer.
            Err(first @ (WireError::NoTls | WireError::Unreachable(_) | WireError::Broken(_))) => {
                match self.send_by(false, request, None).await {
                    Ok(response) => {
                        let _ = self.is_tls.set(false);
                        Ok(response)
                    }
                    Err(second) if matches!(first, WireError::NoTls) => Err(second),
                    Err(_) => Err(first),
                }
            }
            Err(error) => Err(error),
        }
    }

    async fn send_by(
        &self,
        is_tls: bool,
        Request { path, accept, from }: Request<'_>,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, WireError> {
        let scheme = SCHEMES.iter().find(|(with_tls, _)| *with_tls == is_tls).map_or("https", |(_, scheme)| scheme);
        let url = format!("{scheme}://{}/v2/{}/{path}", self.endpoint.host, self.repository);
        // What is packed on the way has neither the size nor the digest of the blob.
        let mut request = self.endpoint.client.get(url).header(ACCEPT_ENCODING, "identity");
        if let Some(accept) = accept {
            request = request.header(ACCEPT, accept);
        }
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let stall = self.endpoint.stall;
        let sent = tokio::time::timeout(stall, request.send()).await.map_err(|_| WireError::Stalled(stall))?;
        sent.map_err(|error| match explain(&error) {
            WireError::Proxy { reason, .. } => WireError::Proxy { proxy: self.proxy(is_tls), reason },
            other => other,
        })
    }

    /// What to send along after a challenge; nothing where we have nothing.
    async fn authorize(
        &self,
        challenge: Option<Challenge>,
        used: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>, WireError> {
        let mut slot = self.authorization.lock().await;
        if slot.as_ref() != used {
            // Another request has asked meanwhile.
            return Ok(slot.clone());
        }
        let login = self.login().await;
        let made = match (challenge, login.map(|login| &login.secret)) {
            (Some(Challenge::Bearer { realm, service, scope }), _) => {
                let usual = format!("repository:{}:pull", self.repository);
                let token = token::fetch(TokenAsk {
                    client: &self.endpoint.client,
                    realm: &realm,
                    service: service.as_deref(),
                    scope: scope.as_deref().unwrap_or(&usual),
                    login,
                    is_tls: self.is_tls.get().copied().unwrap_or(true),
                    stall: self.endpoint.stall,
                });
                token::bearer(&token.await?)?
            }
            (Some(Challenge::Basic), Some(Secret::Password(user, password))) => token::basic(user, password)?,
            (Some(Challenge::Basic), Some(Secret::Registry(token))) => token::bearer(token)?,
            (Some(Challenge::Basic) | None, _) => return Ok(None),
        };
        *slot = Some(made.clone());
        Ok(Some(made))
    }

    async fn refused(&self, is_denied: bool) -> WireError {
        let login = self.login().await;
        let fault = self.login.get().and_then(|found| found.as_ref().err().cloned());
        WireError::Login { source_of: login.map(|login| login.source.clone()), is_denied, fault }
    }

    /// The user's credentials, asked for once.
    async fn login(&self) -> Option<&Login> {
        let found = self.login.get_or_init(async || {
            let surroundings = Arc::clone(&self.surroundings);
            let (name, repository) = (self.endpoint.name.clone(), self.repository.clone());
            let left = Left(Arc::default());
            let has_left = Arc::clone(&left.0);
            let found = tokio::task::spawn_blocking(move || {
                login::find(&surroundings, &name, &repository, &has_left).map_err(|error| error.to_string())
            });
            found.await.unwrap_or_else(|error| Err(error.to_string()))
        });
        found.await.as_ref().ok()?.as_ref()
    }

    /// The proxy that is used, without its password.
    fn proxy(&self, is_tls: bool) -> String {
        let Surroundings { https_proxy, http_proxy, .. } = &*self.surroundings;
        let proxy = if is_tls { https_proxy } else { http_proxy };
        let proxy = proxy.as_deref().unwrap_or_default();
        proxy.rsplit_once('@').map_or(proxy, |(_, host)| host).to_owned()
    }
}

/// Tells a helper that nobody waits for it, when it is dropped.
struct Left(Arc<AtomicBool>);

impl Drop for Left {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
