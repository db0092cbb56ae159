//! The tower layer: which requests are the forge's, and what becomes of the others.
//!
//! The forge claims, below the prefixes of its two origins, `/api` and what is below it; and on the git service
//! `/~:owner/:name/refs/download/…`, what git's clients ask of `/~:owner/:name`, and `/x/:plugin` for plugins that have
//! routes; on the meta service `/~:user.keys`, `/~:user.pgp` and its pages ([`meta::claims`]). Every other request goes to the
//! host application untouched, its body and its answer's body streaming as they do without this layer.
//!
//! Invariant: the layer itself never answers; what it claims, a service's routes answer.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use forge_core::http::{Body, BoxError, Origin, Routes};
use forge_core::{Error, Forge, Result, Stop};
use forge_git::Transport;
use forge_rest::TimestampStyle;
use forge_rest::meta::{self, Templates};
use futures::future::{self, BoxFuture, FutureExt as _, TryFutureExt as _};
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::Either;
use tower::{Service, ServiceExt as _};
use tower_layer::Layer;
use tracing::Instrument as _;

use crate::Serve;
use crate::proxies::Proxies;

/// A forge, ready to be mounted or served: a cheap handle to clone.
#[derive(Clone, Debug)]
pub struct App {
    forge: Forge,
    mounts: Arc<Mounts>,
    transport: Option<Transport>,
    ssh: SshOptions,
}

/// What was said of the SSH server.
#[derive(Clone, Debug, Default)]
pub(crate) struct SshOptions {
    pub(crate) host_key: Option<PathBuf>,
    pub(crate) origin: Option<String>,
}

impl App {
    pub(crate) fn new(
        forge: Forge,
        mounts: Mounts,
        transport: Option<Transport>,
        ssh: SshOptions,
    ) -> Self {
        Self {
            forge,
            mounts: Arc::new(mounts),
            transport,
            ssh,
        }
    }

    /// The transports, to serve clones and pushes over other connections than HTTP; `None` if the repositories are not
    /// kept by [`forge_git::Git`].
    #[must_use]
    pub fn transport(&self) -> Option<&Transport> {
        self.transport.as_ref()
    }

    /// The public address of the SSH server, see [`crate::Builder::ssh_origin`].
    #[must_use]
    pub fn ssh_origin(&self) -> String {
        let host = self.forge.git_origin().host();
        let origin = self.ssh.origin.clone();
        origin.unwrap_or_else(|| format!("ssh://git@{host}"))
    }

    /// The SSH server.
    #[cfg(feature = "ssh")]
    pub(crate) fn ssh(&self) -> Result<forge_git::Ssh> {
        let transport = self.transport.as_ref().ok_or_else(|| {
            Error::invalid("ssh", "these repositories can be read through the API only")
        })?;
        let host_key = self.ssh.host_key.clone().unwrap_or_default();
        Ok(transport.ssh().host_key(host_key).url(&self.ssh_origin()))
    }

    pub(crate) fn mounts(&self) -> &Mounts {
        &self.mounts
    }

    /// The forge itself, to act on without HTTP.
    #[must_use]
    pub fn forge(&self) -> &Forge {
        &self.forge
    }

    /// The layer to put around a host application.
    #[must_use]
    pub fn layer(&self) -> ForgeLayer {
        ForgeLayer(Arc::clone(&self.mounts))
    }

    /// The forge as a service of its own: what it does not claim is 404.
    #[must_use]
    pub fn service(&self) -> ForgeService<NotFound> {
        self.layer().layer(NotFound)
    }

    /// Serves the forge without a host application.
    pub fn serve(&self) -> Serve {
        Serve::new(self.clone())
    }

    /// Does what is queued (events, removals, plugins' jobs) for as long as it is polled. [`App::serve`] does so
    /// itself; beside a host application, spawn it.
    pub fn worker(&self) -> impl Future<Output = Result<()>> + Send + 'static {
        let forge = self.forge.clone();
        async move { forge.work(Stop::new()).await }
    }
}

/// What was said of the REST services.
pub(crate) struct Rest {
    pub(crate) time: TimestampStyle,
    pub(crate) templates: Templates,
}

/// Where the services are mounted, and what numbers requests.
pub(crate) struct Mounts {
    forge: Forge,
    git: Routes,
    meta: Routes,
    transport: Option<Routes>,
    plugins: Vec<(&'static str, Routes)>,
    by_host: bool,
    proxies: Proxies,
    requests: AtomicU64,
}

impl fmt::Debug for Mounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mounts")
    }
}

/// Whom a request is for, and how much of its path is the mount's.
struct Claim<'a> {
    routes: &'a Routes,
    prefix: usize,
    /// Plugins find out who is calling in the request's extensions.
    plugin: bool,
}

impl Mounts {
    pub(crate) fn new(
        forge: &Forge,
        transport: Option<&Transport>,
        rest: Rest,
        by_host: bool,
        proxies: Proxies,
    ) -> Self {
        let plugins = forge.plugins().iter();
        Self {
            git: forge_rest::git::routes(forge.clone(), rest.time),
            meta: meta::routes(forge.clone(), rest.time, rest.templates),
            transport: transport.map(Transport::http),
            plugins: plugins
                .filter_map(|plugin| Some((plugin.name(), plugin.routes(forge)?)))
                .collect(),
            by_host,
            proxies,
            // Numbers that differ from those of the process before.
            requests: AtomicU64::new(u64::try_from(forge.now().timestamp_micros()).unwrap_or(0)),
            forge: forge.clone(),
        }
    }

    /// Whether a path is one that git's clients ask for: what is sent there may take its time.
    pub(crate) fn is_transfer(&self, path: &str, query: Option<&str>) -> bool {
        let rest = below(path, self.forge.git_origin().prefix());
        self.transport.is_some() && rest.is_some_and(|rest| forge_git::claims(rest, query))
    }

    fn claim(&self, host: Option<&str>, path: &str, query: Option<&str>) -> Option<Claim<'_>> {
        let (git, meta) = (self.forge.git_origin(), self.forge.meta_origin());
        // Two services below one prefix are told apart by their hosts.
        let by_host = self.by_host || git.prefix() == meta.prefix();
        let is_for = |origin: &Origin| {
            host.is_some_and(|host| host.eq_ignore_ascii_case(origin.authority()))
        };
        if let Some(rest) = below(path, meta.prefix())
            && (!by_host || is_for(meta))
            && (is_api(rest) || is_keys(rest) || meta::claims(rest, self.forge.identity()))
        {
            return Some(Claim {
                routes: &self.meta,
                prefix: meta.prefix().len(),
                plugin: false,
            });
        }
        if is_metadata(path, meta.prefix())
            && (!by_host || is_for(meta))
            && meta::claims(METADATA, self.forge.identity())
        {
            return Some(Claim {
                routes: &self.meta,
                prefix: 0,
                plugin: false,
            });
        }
        let rest = below(path, git.prefix())?;
        if self.by_host && !is_for(git) {
            return None;
        }
        if is_api(rest) || is_download(rest) {
            return Some(Claim {
                routes: &self.git,
                prefix: git.prefix().len(),
                plugin: false,
            });
        }
        if let Some(routes) = &self.transport
            && forge_git::claims(rest, query)
        {
            return Some(Claim {
                routes,
                prefix: git.prefix().len(),
                plugin: false,
            });
        }
        let name = rest
            .strip_prefix("/x/")?
            .split('/')
            .next()
            .unwrap_or_default();
        let (_, routes) = self.plugins.iter().find(|(known, _)| *known == name)?;
        Some(Claim {
            routes,
            prefix: git.prefix().len() + "/x/".len() + name.len(),
            plugin: true,
        })
    }

    /// Answers a request that was claimed.
    fn answer(
        &self,
        claim: &Claim<'_>,
        mut request: Request<Body>,
    ) -> BoxFuture<'static, Response<Body>> {
        let id = format!("{:016x}", self.requests.fetch_add(1, Ordering::Relaxed));
        let span = tracing::info_span!("request", id, method = %request.method(), path = request.uri().path());
        without_prefix(request.uri_mut(), claim.prefix);
        self.proxies.unwrap(&mut request);
        let (routes, forge) = (
            claim.routes.clone(),
            claim.plugin.then(|| self.forge.clone()),
        );
        let answer = async move {
            if let Some(forge) = forge {
                match forge_rest::authenticate(&forge, request.headers(), request.extensions())
                    .await
                {
                    Ok(caller) => request.extensions_mut().insert(caller),
                    Err(error) => return forge_rest::error_response(&error),
                };
            }
            let Ok(response) = routes.oneshot(request).await;
            response
        };
        async move {
            let mut response = AssertUnwindSafe(answer)
                .catch_unwind()
                .await
                .unwrap_or_else(|_| {
                    forge_rest::error_response(&Error::internal("a panic while answering"))
                });
            tracing::debug!(status = response.status().as_u16(), "answered");
            // Sixteen hex digits are always a header's value.
            if let Ok(id) = HeaderValue::from_str(&id) {
                response
                    .headers_mut()
                    .insert(HeaderName::from_static("x-request-id"), id);
            }
            response
        }
        .instrument(span)
        .boxed()
    }
}

/// What remains of a path below a prefix.
fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    path.strip_prefix(prefix)
        .filter(|rest| rest.starts_with('/'))
}

fn is_api(path: &str) -> bool {
    path == "/api" || path.starts_with("/api/")
}

/// `/~name.keys` and `/~name.pgp`, where scripts look for a user's keys.
fn is_keys(path: &str) -> bool {
    let page = path.strip_prefix('/').unwrap_or_default();
    let name = page.strip_suffix(".keys").or(page.strip_suffix(".pgp"));
    name.is_some_and(|name| is_tilde(name) && !name.contains('/'))
}

/// Where programs look for what an OAuth server can do.
const METADATA: &str = "/.well-known/oauth-authorization-server";

/// The same for a server whose address has a path (RFC 8414 3.1): between host and path.
fn is_metadata(path: &str, prefix: &str) -> bool {
    !prefix.is_empty() && path.strip_prefix(METADATA) == Some(prefix)
}

fn is_tilde(segment: &str) -> bool {
    let escaped = segment.get(..3);
    segment.starts_with('~') || escaped.is_some_and(|start| start.eq_ignore_ascii_case("%7e"))
}

fn is_download(path: &str) -> bool {
    let mut segments = path.split('/').skip(1);
    is_tilde(segments.next().unwrap_or_default())
        && segments.next().is_some()
        && segments.next() == Some("refs")
        && segments.next() == Some("download")
}

/// Takes the first `len` bytes off a path, leaving `/` at least.
fn without_prefix(uri: &mut Uri, len: usize) {
    if len == 0 {
        return;
    }
    let whole = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let rest = whole.get(len..).unwrap_or_default();
    let rest = if rest.starts_with('/') {
        rest.to_owned()
    } else {
        format!("/{rest}")
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = rest.parse().ok();
    if let Ok(stripped) = Uri::from_parts(parts) {
        *uri = stripped;
    }
}

/// Puts a forge around a host application; made by [`App::layer`].
#[derive(Clone, Debug)]
pub struct ForgeLayer(Arc<Mounts>);

impl<S> Layer<S> for ForgeLayer {
    type Service = ForgeService<S>;

    fn layer(&self, host: S) -> ForgeService<S> {
        ForgeService {
            mounts: Arc::clone(&self.0),
            host,
        }
    }
}

/// A host application with a forge around it; made by [`App::layer`] and [`App::service`].
#[derive(Clone, Debug)]
pub struct ForgeService<S> {
    mounts: Arc<Mounts>,
    host: S,
}

impl<S, B, R> Service<Request<B>> for ForgeService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: 'static,
{
    type Response = Response<Either<Body, R>>;
    type Error = S::Error;
    type Future = future::Either<
        BoxFuture<'static, Result<Self::Response, S::Error>>,
        future::MapOk<S::Future, fn(Response<R>) -> Self::Response>,
    >;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.host.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let host = request
            .headers()
            .get(http::header::HOST)
            .and_then(|host| host.to_str().ok());
        // HTTP/2 has the host in the URI.
        let host = request
            .uri()
            .authority()
            .map(http::uri::Authority::as_str)
            .or(host);
        let Some(claim) = self
            .mounts
            .claim(host, request.uri().path(), request.uri().query())
        else {
            let pass: fn(Response<R>) -> Self::Response = |response| response.map(Either::Right);
            return future::Either::Right(self.host.call(request).map_ok(pass));
        };
        let answer = self.mounts.answer(&claim, request.map(Body::new));
        future::Either::Left(async move { Ok(answer.await.map(Either::Left)) }.boxed())
    }
}

/// The application around which there is none: 404 to everything.
#[derive(Clone, Copy, Debug)]
pub struct NotFound;

impl<B> Service<Request<B>> for NotFound {
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<Response<Body>, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        let mut response = Response::new(Body::from(Bytes::from_static(b"404 not found\n")));
        *response.status_mut() = StatusCode::NOT_FOUND;
        std::future::ready(Ok(response))
    }
}
