//! The tower layer around a host application: what it claims, and what it leaves alone.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::{any, get};
use bytes::Bytes;
use futures::StreamExt as _;
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;
use tower::ServiceExt as _;

use crate::support::{Database, Persona, World};

fn host() -> Router {
    Router::new()
        .route("/", get(async || "the host"))
        .route("/api-docs", get(async || "the host"))
        .route(
            "/echo",
            any(async |request: Request| Body::new(request.into_body())),
        )
        .fallback(async || (http::StatusCode::IM_A_TEAPOT, "the host's 404"))
}

async fn text(app: Router, path: &str, host: &str) -> (u16, String) {
    let request = Request::builder()
        .uri(path)
        .header("host", host)
        .body(Body::empty())
        .unwrap();
    let response = app.oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn only_the_documented_paths_are_claimed() {
    let world = World::new(Database::Sqlite).await;
    let app = host().layer(world.app.layer());
    for path in ["/", "/api-docs"] {
        assert_eq!(
            text(app.clone(), path, "git.example.org").await,
            (200, "the host".to_owned())
        );
    }
    for path in [
        "/query",
        "/~alice",
        "/~alice/open",
        "/~alice/open/refs",
        "/x/none",
        "/meta",
        "/apix",
        "/metaapi",
    ] {
        assert_eq!(
            text(app.clone(), path, "git.example.org").await.0,
            418,
            "{path}"
        );
    }
    for path in ["/api/version", "/meta/api/version"] {
        assert_eq!(
            text(app.clone(), path, "anything.example").await.0,
            200,
            "{path}"
        );
    }
    for path in ["/api", "/api/", "/api/none", "/meta/api/none"] {
        let (status, body) = text(app.clone(), path, "git.example.org").await;
        assert_eq!(status, 404, "{path}");
        assert_eq!(body, r#"{"errors":[{"reason":"404 not found"}]}"#, "{path}");
    }
    world.end().await;
}

#[tokio::test]
async fn bodies_of_the_host_stream_both_ways() {
    let world = World::new(Database::Sqlite).await;
    let app = host().layer(world.app.layer());
    let (sender, receiver) = mpsc::channel::<Result<Bytes, Infallible>>(1);
    let stream = futures::stream::unfold(receiver, async |mut it| {
        it.recv().await.map(|item| (item, it))
    });
    let request = Request::builder()
        .uri("/echo")
        .body(Body::from_stream(stream))
        .unwrap();
    let mut answer = app
        .oneshot(request)
        .await
        .unwrap()
        .into_body()
        .into_data_stream();
    for piece in ["one", "two", "three"] {
        // The next piece is sent only when this one has come back: nobody in between waits for the end.
        sender.send(Ok(Bytes::from(piece))).await.unwrap();
        let back = tokio::time::timeout(Duration::from_secs(5), answer.next())
            .await
            .expect("no buffering");
        assert_eq!(back.unwrap().unwrap(), piece);
    }
    drop(sender);
    assert!(answer.next().await.is_none());
    world.end().await;
}

#[tokio::test]
async fn services_below_one_prefix_are_told_apart_by_host() {
    let world = World::with(Database::Sqlite, |builder| {
        builder
            .git_origin("https://git.example.org/code")
            .meta_origin("https://meta.example.org/code")
    })
    .await;
    let app = host().layer(world.app.layer());
    let own = |host: &'static str| text(app.clone(), "/code/api/user", host);
    assert_eq!(
        own("git.example.org").await.0,
        401,
        "the git service has that route"
    );
    assert_eq!(
        own("meta.example.org").await.0,
        404,
        "the meta service does not yet"
    );
    assert_eq!(
        text(app.clone(), "/api/user", "git.example.org").await.0,
        418,
        "it is not below the prefix"
    );
    world.end().await;
}

#[tokio::test]
async fn other_hosts_are_left_to_the_host_application_where_that_is_asked_for() {
    let world = World::with(Database::Sqlite, |builder| builder.route_by_host(true)).await;
    let app = host().layer(world.app.layer());
    assert_eq!(
        text(app.clone(), "/api/version", "git.example.org").await.0,
        200
    );
    assert_eq!(
        text(app.clone(), "/api/version", "www.example.org").await.0,
        418
    );
    world.end().await;
}

#[tokio::test]
async fn every_answer_of_the_forge_has_a_request_id_of_its_own() {
    let world = World::new(Database::Sqlite).await;
    let first = world.get(Persona::Anon, "/api/version").await;
    let second = world.get(Persona::Anon, "/api/version").await;
    assert_ne!(
        first.headers["x-request-id"],
        second.headers["x-request-id"]
    );
    world.end().await;
}

#[tokio::test]
async fn both_schemes_work_in_any_case_on_a_real_socket() {
    let world = World::new(Database::Sqlite).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let end = Arc::new(tokio::sync::Notify::new());
    let serving = tokio::spawn({
        let (serve, end) = (world.app.serve().listener(listener), Arc::clone(&end));
        async move { serve.until(end.notified()).await }
    });
    let token = world.token_of(Persona::Owner).unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for scheme in ["token", "Token", "bearer", "BEARER"] {
        let request = client.get(format!("http://{address}/api/user"));
        let answer = request
            .header("authorization", format!("{scheme} {token}"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{scheme}");
        assert!(
            answer.text().await.unwrap().contains("alice@example.org"),
            "{scheme}"
        );
    }
    end.notify_one();
    serving.await.unwrap().unwrap();
    world.end().await;
}

#[tokio::test]
async fn timestamps_have_a_zone_where_that_is_asked_for() {
    let world = World::with(Database::Sqlite, |builder| {
        builder.timestamps(forge::TimestampStyle::Zoned)
    })
    .await;
    let repo = world.get(Persona::Owner, "/api/repos/open").await.json();
    assert_eq!(repo["created"], "2023-11-14T22:13:20+00:00");
    let log = world
        .get(Persona::Owner, "/api/repos/open/log")
        .await
        .json();
    assert_eq!(log["results"][2]["timestamp"], "2017-07-14T02:40:00+00:00");
    world.end().await;
}
