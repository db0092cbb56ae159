//! Smart HTTP (`gitprotocol-http(5)`).
//!
//! Invariant: the access decision is [`Caller::objects`] or [`Caller::push_to`], made anew for each request, and no byte
//! of a repository is read before it. Files that old clients fetch one by one are not served. What is transferred is
//! [`Source`]'s and [`crate::receive_pack`]'s affair.

mod answer;
mod auth;
mod body;
mod path;
mod work;

use std::convert::Infallible;
use std::net::IpAddr;

use bytes::{Bytes, BytesMut};
use forge_core::http::{Body, Peer, Routes};
use forge_core::{Actor, Caller, Objects, PushTarget, RepoPath, Result, Stop};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};

use self::path::{Service, Tail, Wanted};
use self::work::Work;
use crate::permits::Client;
use crate::target::{self, Refused};
use crate::transport::{Transport, Version};
use crate::upload_pack::Source;
use crate::{pkt, receive_pack};

pub use self::path::claims;

const DUMB: &str = "this forge speaks the smart HTTP protocol only: git fetch and git push do";

impl Transport {
    /// The routes for clones and pushes: for requests that [`claims`] claims, their paths without the prefix of the git
    /// service. Whoever accepted the connection puts the client's address into the extensions, as a [`Peer`].
    #[must_use]
    pub fn http(&self) -> Routes {
        let transport = self.clone();
        Routes::new(tower::service_fn(move |request| {
            let transport = transport.clone();
            async move { Ok::<_, Infallible>(serve(&transport, request).await) }
        }))
    }
}

async fn serve(transport: &Transport, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let query = parts.uri.query();
    let Some(wanted) = Wanted::parse(parts.uri.path(), query) else {
        return answer::nowhere();
    };
    let task = match Task::of(&parts, wanted.tail, query) {
        Ok(task) => task,
        Err(refusal) => return *refusal,
    };
    let forge = transport.forge();
    let caller = match auth::authenticate(forge, &parts.headers).await {
        Ok(caller) => caller,
        Err(error) => return answer::refusal(&error, false),
    };
    let is_anonymous = caller.actor() == Actor::Anonymous;
    let address = parts.extensions.get::<Peer>().map(|peer| peer.0);
    let caller = caller.from_address(address);
    let guest = Guest {
        transport,
        caller,
        address,
    };
    match guest.serve(task, &wanted, &parts, body).await {
        Ok(response) => response,
        Err(Refused::Moved(to)) => answer::moved(forge, &to, wanted.rest, query),
        Err(Refused::By(error)) => answer::refusal(&error, is_anonymous),
    }
}

/// What a request is about, as far as it can be told before anybody is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Advertise(Service),
    Do(Service),
    GoImport,
}

impl Task {
    fn of(parts: &Parts, tail: Tail, query: Option<&str>) -> Result<Self, Box<Response<Body>>> {
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        if let Tail::Service(service) = tail {
            if parts.method != Method::POST {
                return Err(answer::wrong_method("POST").into());
            }
            let kind = parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
            let expected = format!("application/x-{}-request", service.name());
            if kind != Some(expected.as_bytes()) {
                let why = format!("a request is of the type {expected}");
                return Err(answer::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, &why).into());
            }
            return Ok(Self::Do(service));
        }
        if !is_read {
            return Err(answer::wrong_method("GET, HEAD").into());
        }
        let refuse = |why: &str| Err(answer::text(StatusCode::FORBIDDEN, why).into());
        match tail {
            Tail::GoImport => Ok(Self::GoImport),
            Tail::Refs => match path::parameter(query, "service") {
                None => refuse(DUMB),
                Some(name) => match Service::named(name) {
                    Some(Service::UploadArchive) | None => refuse("there is no such service"),
                    Some(service) => Ok(Self::Advertise(service)),
                },
            },
            Tail::File | Tail::Service(_) => refuse(DUMB),
        }
    }
}

/// Somebody who is let in to this server, but not yet to any repository.
struct Guest<'a> {
    transport: &'a Transport,
    caller: Caller,
    address: Option<IpAddr>,
}

impl Guest<'_> {
    async fn serve(
        &self,
        task: Task,
        wanted: &Wanted<'_>,
        parts: &Parts,
        body: Body,
    ) -> Result<Response<Body>, Refused> {
        let answer = match task {
            Task::GoImport => {
                let objects = target::to_fetch(&self.caller, &wanted.names).await?;
                let repo = objects.repo();
                let path = RepoPath {
                    owner: repo.owner.name.clone(),
                    name: repo.name.clone(),
                };
                Ok(answer::go_import(self.transport.forge(), &path))
            }
            Task::Advertise(Service::ReceivePack) => {
                let target = target::to_push(&self.caller, &wanted.names).await?;
                self.advertise_push(target, parts).await
            }
            Task::Advertise(_) => {
                let objects = target::to_fetch(&self.caller, &wanted.names).await?;
                self.advertise(objects, parts).await
            }
            Task::Do(Service::ReceivePack) => {
                let target = target::to_push(&self.caller, &wanted.names).await?;
                self.receive(target, parts, body).await
            }
            Task::Do(service) => {
                let objects = target::to_fetch(&self.caller, &wanted.names).await?;
                self.fetch(service, objects, parts, body).await
            }
        };
        Ok(answer?)
    }

    async fn advertise(&self, objects: Objects, parts: &Parts) -> Result<Response<Body>> {
        let kind = kind(Service::UploadPack, "advertisement");
        if parts.method == Method::HEAD {
            return Ok(answer::body(StatusCode::OK, kind, Bytes::new()));
        }
        let (transport, client) = (self.transport.clone(), self.client(&objects));
        let version = version(parts);
        let prefix = match version {
            Version::V0 | Version::V1 => heading(Service::UploadPack),
            Version::V2 => Bytes::new(),
        };
        let (output, pieces) = body::pipe();
        let work = Work::ending(async move {
            let source = Source::new(&transport, &objects, client)?;
            source.advertise(version, output).await
        });
        work.answer(kind, prefix, pieces).await
    }

    async fn fetch(
        &self,
        service: Service,
        objects: Objects,
        parts: &Parts,
        body: Body,
    ) -> Result<Response<Body>> {
        let Some(input) = body::input(&parts.headers, body) else {
            return Ok(unknown_encoding());
        };
        let (transport, client) = (self.transport.clone(), self.client(&objects));
        let version = version(parts);
        let (output, pieces) = body::pipe();
        let work = Work::ending(async move {
            let source = Source::new(&transport, &objects, client)?;
            if service == Service::UploadArchive {
                source.archive(input, output, None).await.map(drop)
            } else {
                source.request(version, input, output).await
            }
        });
        work.answer(kind(service, "result"), Bytes::new(), pieces)
            .await
    }

    async fn advertise_push(&self, target: PushTarget, parts: &Parts) -> Result<Response<Body>> {
        let kind = kind(Service::ReceivePack, "advertisement");
        if parts.method == Method::HEAD {
            return Ok(answer::body(StatusCode::OK, kind, Bytes::new()));
        }
        let transport = self.transport.clone();
        let (mut output, pieces) = body::pipe();
        let work =
            Work::ending(
                async move { receive_pack::advertise(&transport, &target, &mut output).await },
            );
        let prefix = heading(Service::ReceivePack);
        work.answer(kind, prefix, pieces).await
    }

    async fn receive(
        &self,
        target: PushTarget,
        parts: &Parts,
        body: Body,
    ) -> Result<Response<Body>> {
        let Some(input) = body::input(&parts.headers, body) else {
            return Ok(unknown_encoding());
        };
        let client = Client::of(target.actor(), self.address);
        let transport = self.transport.clone();
        let (output, pieces) = body::pipe();
        let gone = Stop::new();
        let work = Work::telling(gone.clone(), async move {
            receive_pack::receive(&transport, target, client, input, output, gone).await
        });
        work.answer(kind(Service::ReceivePack, "result"), Bytes::new(), pieces)
            .await
    }

    fn client(&self, objects: &Objects) -> Client {
        Client::of(objects.actor(), self.address)
    }
}

/// The type of what a service says.
fn kind(service: Service, what: &str) -> HeaderValue {
    let kind = format!("application/x-{}-{what}", service.name());
    HeaderValue::try_from(kind).unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

/// What begins an advertisement over HTTP, but for version 2.
fn heading(service: Service) -> Bytes {
    let mut out = BytesMut::new();
    pkt::put(
        &mut out,
        format!("# service={}\n", service.name()).as_bytes(),
    );
    pkt::put_flush(&mut out);
    out.freeze()
}

fn version(parts: &Parts) -> Version {
    let header = parts.headers.get("git-protocol");
    let text = header.and_then(|header| header.to_str().ok());
    text.map(Version::parse).unwrap_or_default()
}

fn unknown_encoding() -> Response<Body> {
    let why = "a request is sent as it is, or with gzip";
    answer::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, why)
}
