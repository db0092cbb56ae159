//! HTTP/2, where a host's own server speaks it: row H23. What is claimed there is answered as over HTTP/1.1.
//!
//! curl asks here, since git's clients speak it over TLS alone. `forge::Serve` itself speaks HTTP/1.1 only.

use std::net::{Ipv4Addr, SocketAddr};

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

use super::wire::{Ask, v2, v2_post};
use crate::support::Persona;
use crate::support::site::{Ran, Site, command, run};

/// A host's server around the forge of a site, which speaks HTTP/2 and nothing else.
async fn serve(site: &Site) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = site.world.app.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(app.service());
            let server = http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

/// Asks with curl, which must find HTTP/2.
async fn curl(site: &Site, url: &str, arguments: &[&str], body: &[u8]) -> Ran {
    let mut curl = command("curl", site.world.dir.path());
    curl.args([
        "--silent",
        "--show-error",
        "--fail",
        "--http2-prior-knowledge",
    ])
    .args(arguments)
    .arg(url);
    run(curl, body).await
}

#[tokio::test]
async fn refs_and_fetches_over_http_2_are_those_over_http_1() {
    let site = Site::new().await;
    let address = serve(&site).await;
    let refs = Ask::refs("~alice/open", "upload-pack").header("git-protocol", "version=2");
    let older = refs.send(&site).await.smart("upload-pack-advertisement");
    let url = format!("http://{address}/~alice/open/info/refs?service=git-upload-pack");
    let version = ["--header", "git-protocol: version=2"];
    let newer = curl(&site, &url, &version, b"").await.good();
    assert_eq!(newer.raw, older.body);

    let body = v2("ls-refs", &["peel", "ref-prefix refs/"]);
    let older = v2_post("~alice/open", body.clone()).send(&site).await;
    let older = older.smart("upload-pack-result");
    let url = format!("http://{address}/~alice/open/git-upload-pack");
    let arguments = [
        "--header",
        "git-protocol: version=2",
        "--header",
        "content-type: application/x-git-upload-pack-request",
        "--data-binary",
        "@-",
    ];
    let newer = curl(&site, &url, &arguments, body.as_bytes()).await.good();
    assert_eq!(newer.raw, older.body);
    site.end().await;
}

#[tokio::test]
async fn an_api_over_http_2_knows_its_callers() {
    let site = Site::new().await;
    let address = serve(&site).await;
    let url = format!("http://{address}/api/~alice/repos/secret");
    let stranger = curl(&site, &url, &[], b"").await.bad();
    assert!(stranger.err.contains("401"), "{}", stranger.err);
    let token = site.world.token_of(Persona::Owner).expect("a token");
    let header = format!("authorization: Bearer {token}");
    let owner = curl(&site, &url, &["--header", &header], b"").await.good();
    assert!(owner.out.contains(r#""name":"secret""#), "{}", owner.out);
    site.end().await;
}
