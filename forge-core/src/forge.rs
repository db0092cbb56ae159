//! The handle on a forge: what every crate of the workspace is given.
//!
//! Invariant: store, repositories and artifacts are reachable inside this crate only; outside it, there is no road to
//! them but a capability. It holds no request's state.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore};
use uuid::Uuid;

use crate::access::NetworkKey;
use crate::blobs::Blobs;
use crate::clock::{Clock, Entropy, Timestamp};
use crate::delegation::Courier;
use crate::events::{Event, EventKind};
use crate::http::Origin;
use crate::identity::Identity;
use crate::imports;
use crate::limits::Limits;
use crate::mailer::Mailer;
use crate::objects::GitBackend;
use crate::plugin::Plugin;
use crate::sessions::{self, Attempts};
use crate::store::Store;
use crate::{Error, Result};

/// What a forge is made of.
#[expect(missing_debug_implementations, reason = "ports have nothing to show")]
pub struct Parts {
    /// The rows.
    pub store: Arc<dyn Store>,
    /// The repositories.
    pub git: Arc<dyn GitBackend>,
    /// The artifacts.
    pub blobs: Arc<dyn Blobs>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Extensions, in the order in which they are asked.
    pub plugins: Vec<Arc<dyn Plugin>>,
    /// Where the git service is reached.
    pub git_origin: Origin,
    /// Where the meta service is reached.
    pub meta_origin: Origin,
    /// Who tells which user a browser belongs to.
    pub identity: Identity,
    /// Who sends mail; without one, what needs mail is refused.
    pub mailer: Option<Arc<dyn Mailer>>,
    /// Who brings other services what they are to be told.
    pub courier: Arc<dyn Courier>,
    /// With what the network's servers sign; without one, what needs a signature is refused.
    pub network_key: Option<NetworkKey>,
    /// Limits on what comes from outside.
    pub limits: Limits,
}

/// A forge: a cheap handle to clone.
#[derive(Clone)]
pub struct Forge(Arc<Inner>);

struct Inner {
    parts: Parts,
    wake: Notify,
    live_pushes: Mutex<HashSet<Uuid>>,
    import_places: Semaphore,
    password_places: Arc<Semaphore>,
    attempts: Attempts,
}

impl Forge {
    /// Assembles a forge and brings its tables up to date.
    ///
    /// # Errors
    /// [`Error::Invalid`] for field `plugin` if a plugin's name is bad or taken; those of the store.
    pub async fn new(parts: Parts) -> Result<Self> {
        for (i, plugin) in parts.plugins.iter().enumerate() {
            let name = plugin.name();
            let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            if name.is_empty() || !name.bytes().all(good) {
                return Err(Error::invalid(
                    "plugin",
                    format!("{name:?} is not a plugin's name"),
                ));
            }
            if parts
                .plugins
                .iter()
                .take(i)
                .any(|other| other.name() == name)
            {
                return Err(Error::invalid(
                    "plugin",
                    format!("there are two plugins called {name:?}"),
                ));
            }
        }
        let migrations: Vec<_> = parts
            .plugins
            .iter()
            .map(|plugin| (plugin.name(), plugin.migrations()))
            .collect();
        parts.store.migrate(&migrations).await?;
        Ok(Self(Arc::new(Inner {
            parts,
            wake: Notify::new(),
            live_pushes: Mutex::new(HashSet::new()),
            import_places: Semaphore::new(imports::AT_ONCE),
            password_places: Arc::new(Semaphore::new(sessions::hashes_at_once())),
            attempts: Attempts::default(),
        })))
    }

    /// Where the git service is reached.
    #[must_use]
    pub fn git_origin(&self) -> &Origin {
        &self.0.parts.git_origin
    }

    /// Where the meta service is reached.
    #[must_use]
    pub fn meta_origin(&self) -> &Origin {
        &self.0.parts.meta_origin
    }

    /// Limits on what comes from outside.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.0.parts.limits
    }

    /// The present.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.parts.clock.now()
    }

    /// The extensions.
    #[must_use]
    pub fn plugins(&self) -> &[Arc<dyn Plugin>] {
        &self.0.parts.plugins
    }

    /// Who tells which user a browser belongs to.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.0.parts.identity
    }

    pub(crate) fn mailer(&self) -> Option<&dyn Mailer> {
        self.0.parts.mailer.as_deref()
    }

    pub(crate) fn courier(&self) -> &dyn Courier {
        &*self.0.parts.courier
    }

    pub(crate) fn network_key(&self) -> Option<&NetworkKey> {
        self.0.parts.network_key.as_ref()
    }

    pub(crate) fn plugin(&self, name: &str) -> Option<&dyn Plugin> {
        self.plugins()
            .iter()
            .map(|plugin| &**plugin)
            .find(|plugin| plugin.name() == name)
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.0.parts.store
    }

    pub(crate) fn git(&self) -> &dyn GitBackend {
        &*self.0.parts.git
    }

    pub(crate) fn blobs(&self) -> &dyn Blobs {
        &*self.0.parts.blobs
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        &*self.0.parts.entropy
    }

    /// Who does an import in this process holds one.
    pub(crate) fn import_places(&self) -> &Semaphore {
        &self.0.import_places
    }

    /// Who hashes a password in this process holds one.
    pub(crate) fn password_places(&self) -> &Arc<Semaphore> {
        &self.0.password_places
    }

    /// Who has tried what lately, in this process.
    pub(crate) fn attempts(&self) -> &Attempts {
        &self.0.attempts
    }

    /// A version 7 UUID (RFC 9562 5.7).
    pub(crate) fn uuid(&self) -> Result<Uuid> {
        let mut random = [0; 10];
        self.entropy().fill(&mut random)?;
        let millis = u64::try_from(self.now().timestamp_millis()).unwrap_or(0);
        Ok(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    pub(crate) fn event(&self, kind: EventKind) -> Result<Event> {
        Ok(Event {
            id: self.uuid()?,
            time: self.now(),
            kind,
        })
    }

    /// The pushes of this process whose refs are moving. Never held over a wait.
    pub(crate) fn live_pushes(&self) -> MutexGuard<'_, HashSet<Uuid>> {
        let live = self.0.live_pushes.lock();
        live.unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells this process's worker that something was queued.
    pub(crate) fn wake(&self) {
        self.0.wake.notify_one();
    }

    pub(crate) async fn woken(&self) {
        self.0.wake.notified().await;
    }
}

impl fmt::Debug for Forge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Forge")
    }
}
