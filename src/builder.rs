//! Putting a forge together.
//!
//! Invariant: what is not said has a default that works: SQLite, repositories and artifacts in one directory.

use std::fs;
use std::path::{self, Path, PathBuf};
use std::sync::Arc;

use forge_core::blobs::Blobs;
use forge_core::http::Origin;
use forge_core::objects::GitBackend;
use forge_core::store::Store;
use forge_core::{
    Clock, Courier, Entropy, Error, Forge, Identity, IdentityProvider, Limits, Mailer, Parts,
    Plugin, Result, SystemClock, SystemEntropy,
};
use forge_git::{Git, Transport};
use forge_rest::TimestampStyle;
use forge_rest::meta::Templates;
use forge_storage::{ObjectBlobs, SqlStore};
use forge_webhooks::HttpCourier;
use url::Url;

use crate::App;
use crate::layer::{Mounts, Rest, SshOptions};
use crate::proxies::Proxies;

/// Starts putting a forge together.
pub fn builder() -> Builder {
    Builder {
        data_dir: PathBuf::from("forge-data"),
        store: None,
        repositories: None,
        blobs: None,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        plugins: Vec::new(),
        git_origin: "http://localhost:8080".to_owned(),
        meta_origin: None,
        route_by_host: false,
        timestamps: TimestampStyle::default(),
        limits: Limits::default(),
        ssh: SshOptions::default(),
        identity: Identity::Nobody,
        templates: Vec::new(),
        style: None,
        mailer: None,
        courier: None,
        network_key: None,
        trusted_proxies: Vec::new(),
    }
}

/// A forge being put together; made by [`builder`].
#[expect(missing_debug_implementations, reason = "ports have nothing to show")]
#[must_use]
pub struct Builder {
    data_dir: PathBuf,
    store: Option<Arc<dyn Store>>,
    repositories: Option<Repositories>,
    blobs: Option<Arc<dyn Blobs>>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    plugins: Vec<Arc<dyn Plugin>>,
    git_origin: String,
    meta_origin: Option<String>,
    route_by_host: bool,
    timestamps: TimestampStyle,
    limits: Limits,
    ssh: SshOptions,
    identity: Identity,
    templates: Vec<(String, String)>,
    style: Option<String>,
    mailer: Option<Arc<dyn Mailer>>,
    courier: Option<Arc<dyn Courier>>,
    network_key: Option<String>,
    trusted_proxies: Vec<String>,
}

/// Where the repositories are.
enum Repositories {
    Ours(Git),
    Other(Arc<dyn GitBackend>),
}

impl Builder {
    /// The directory for everything that is not put elsewhere; made if it is missing. `forge-data` unless set.
    pub fn data_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.data_dir = dir.into();
        self
    }

    /// Where the rows are. A SQLite database in the data directory unless set.
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// Where the repositories are. Below the data directory unless set.
    pub fn git(mut self, git: Git) -> Self {
        self.repositories = Some(Repositories::Ours(git));
        self
    }

    /// Keeps the repositories elsewhere than [`Git`] does. They can be read through the API, but not cloned or pushed
    /// to: git's own programs serve those, and they need a directory.
    pub fn git_backend(mut self, git: impl GitBackend) -> Self {
        self.repositories = Some(Repositories::Other(Arc::new(git)));
        self
    }

    /// Where artifacts' content is. Below the data directory unless set.
    pub fn blobs(mut self, blobs: impl Blobs) -> Self {
        self.blobs = Some(Arc::new(blobs));
        self
    }

    /// Adds an extension.
    pub fn plugin(mut self, plugin: impl Plugin) -> Self {
        self.plugins.push(Arc::new(plugin));
        self
    }

    /// The public address of the git service, `https://git.example.org` for example; a path after the host is the
    /// prefix it is mounted at. `http://localhost:8080` unless set.
    pub fn git_origin(mut self, origin: impl Into<String>) -> Self {
        self.git_origin = origin.into();
        self
    }

    /// The public address of the meta service. `/meta` below the git service's unless set.
    pub fn meta_origin(mut self, origin: impl Into<String>) -> Self {
        self.meta_origin = Some(origin.into());
        self
    }

    /// Leaves requests to other hosts than the origins' to the host application. Off unless set: a forge answers
    /// whatever name it is called by.
    pub fn route_by_host(mut self, on: bool) -> Self {
        self.route_by_host = on;
        self
    }

    /// The file with the host key of the SSH server; made if it is missing. In the data directory unless set. Servers
    /// behind one address need the same key.
    pub fn ssh_host_key(mut self, file: impl Into<PathBuf>) -> Self {
        self.ssh.host_key = Some(file.into());
        self
    }

    /// The public address of the SSH server, `ssh://git@git.example.org` for example. Shown to people; `ssh://git@` and
    /// the host of the git service unless set.
    pub fn ssh_origin(mut self, origin: impl Into<String>) -> Self {
        self.ssh.origin = Some(origin.into());
        self
    }

    /// Who tells which user a browser belongs to: the host's own sessions. With that, the forge has pages on which users
    /// make tokens and let applications act for them. Without it, there are none.
    pub fn identity(mut self, identity: impl IdentityProvider) -> Self {
        self.identity = Identity::Host(Arc::new(identity));
        self
    }

    /// Has users sign in with a password that the forge keeps, for an application without users of its own; set one with
    /// [`forge_core::System::set_password`].
    pub fn passwords(mut self) -> Self {
        self.identity = Identity::Passwords;
        self
    }

    /// Puts a template of the host's, in the language of Jinja, in the place of one of the pages' own: `layout.html`,
    /// `login.html`, `consent.html` and so on, see `forge-rest/src/meta/site/templates`.
    pub fn page_template(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.templates.push((name.into(), text.into()));
        self
    }

    /// The style sheet of the pages, in place of theirs. It is sent inside each page.
    pub fn page_style(mut self, css: impl Into<String>) -> Self {
        self.style = Some(css.into());
        self
    }

    /// Who sends mail. Without one, what needs mail (another e-mail address) is refused, and nobody is told of new keys.
    pub fn mailer(mut self, mailer: impl Mailer) -> Self {
        self.mailer = Some(Arc::new(mailer));
        self
    }

    /// Who tells the services of the forge's network that tokens have ended. By HTTP unless set.
    pub fn courier(mut self, courier: impl Courier) -> Self {
        self.courier = Some(Arc::new(courier));
        self
    }

    /// The public key with which the servers of the forge's network sign what they ask of each other: base64 of 32 bytes, of
    /// Ed25519. Without one, what needs a signature (`POST /api/ssh-key/:blob`) is refused. They sign webhooks for users with
    /// it, too, so a signature says little: no more depends on it than when a key was last used.
    pub fn network_key(mut self, key: impl Into<String>) -> Self {
        self.network_key = Some(key.into());
        self
    }

    /// The networks (`10.0.0.0/8`) and addresses of the proxies in front of the forge. A connection from there comes
    /// from whom `X-Forwarded-For` names: the last address in it that is none of these. That header is ignored unless
    /// this is set.
    pub fn trusted_proxies(mut self, nets: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.trusted_proxies = nets.into_iter().map(Into::into).collect();
        self
    }

    /// How the REST API writes timestamps.
    pub fn timestamps(mut self, style: TimestampStyle) -> Self {
        self.timestamps = style;
        self
    }

    /// Limits on what comes from outside.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Where "now" comes from. The machine's clock unless set.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Where randomness comes from. The operating system unless set.
    pub fn entropy(mut self, entropy: impl Entropy) -> Self {
        self.entropy = Arc::new(entropy);
        self
    }

    /// Opens what was configured and brings the tables up to date.
    ///
    /// # Errors
    /// [`Error::Conflict`] if another process has the SQLite database open; [`Error::Invalid`] for a bad origin, proxy,
    /// network key or plugin; those of the store.
    pub async fn build(self) -> Result<App> {
        let git_origin: Origin = self.git_origin.parse()?;
        let meta_origin: Origin = match self.meta_origin {
            Some(origin) => origin.parse()?,
            None => git_origin.url_of("/meta").parse()?,
        };
        let templates = Templates::new(&self.templates, self.style.as_deref())?;
        let network_key = self.network_key.as_deref().map(str::parse).transpose()?;
        let courier = match self.courier {
            Some(courier) => courier,
            None => Arc::new(HttpCourier::new()?),
        };
        let proxies = Proxies::parse(&self.trusted_proxies)?;
        let dir = self.data_dir;
        if self.store.is_none() || self.repositories.is_none() || self.blobs.is_none() {
            make_private(&dir)?;
        }
        let store = match self.store {
            Some(store) => store,
            None => Arc::new(SqlStore::connect(&sqlite_url(&dir)?).await?),
        };
        let ours = || Repositories::Ours(Git::at(dir.join("repositories")));
        let (git, ours): (Arc<dyn GitBackend>, _) = match self.repositories.unwrap_or_else(ours) {
            Repositories::Ours(git) => (Arc::new(git.clone()), Some(git)),
            Repositories::Other(git) => (git, None),
        };
        let blobs = match self.blobs {
            Some(blobs) => blobs,
            None => Arc::new(ObjectBlobs::at(dir.join("blobs"))?),
        };
        let parts = Parts {
            store,
            git,
            blobs,
            clock: self.clock,
            entropy: self.entropy,
            plugins: self.plugins,
            git_origin,
            meta_origin,
            identity: self.identity,
            mailer: self.mailer,
            courier,
            network_key,
            limits: self.limits,
        };
        let forge = Forge::new(parts).await?;
        let transport = ours.map(|git| Transport::new(forge.clone(), git));
        let mounts = Mounts::new(
            &forge,
            transport.as_ref(),
            Rest {
                time: self.timestamps,
                templates,
            },
            self.route_by_host,
            proxies,
        );
        let ssh = SshOptions {
            host_key: Some(
                self.ssh
                    .host_key
                    .unwrap_or_else(|| dir.join("ssh_host_ed25519_key")),
            ),
            ..self.ssh
        };
        Ok(App::new(forge, mounts, transport, ssh))
    }
}

/// The URL of the database in the data directory.
fn sqlite_url(dir: &Path) -> Result<String> {
    let unusable = |why: &str| Error::invalid("data_dir", format!("{}: {why}", dir.display()));
    let path = path::absolute(dir).map_err(|error| unusable(&error.to_string()))?;
    let url =
        Url::from_file_path(path.join("forge.db")).map_err(|()| unusable("no absolute path"))?;
    Ok(format!("sqlite://{}", url.path()))
}

/// Makes the data directory, for nobody else's eyes.
fn make_private(dir: &Path) -> Result<()> {
    let mut make = fs::DirBuilder::new();
    make.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut make, 0o700);
    let made = make.create(dir);
    made.map_err(|error| Error::invalid("data_dir", format!("{}: {error}", dir.display())))
}
