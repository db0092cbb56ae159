//! What the network's servers sign.
//!
//! Invariant: a signature is good for one request, and nobody else's is good for any.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use ed25519_dalek::{Signer as _, SigningKey};
use forge::keys::PublicKey;
use http::{Method, StatusCode};

use crate::support::{Answer, Database, Persona, World};

const BLOB: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const NONCE: &str = "0123456789abcdef";

fn secret() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn signature(key: &SigningKey, message: &str) -> String {
    STANDARD.encode(key.sign(message.as_bytes()).to_bytes())
}

async fn world(database: Database) -> World {
    let key = STANDARD.encode(secret().verifying_key().as_bytes());
    let world = World::with(database, |builder| builder.network_key(key)).await;
    let alice = world.user("alice").await;
    let line = PublicKey::parse(&format!("ssh-ed25519 {BLOB}"), "ssh-key").unwrap();
    world
        .system()
        .ensure_ssh_key(alice.id, &line)
        .await
        .unwrap();
    world
}

async fn send(world: &World, blob: &str, body: &str, nonce: &str, signature: &str) -> Answer {
    let headers = [
        ("x-payload-nonce", nonce),
        ("x-payload-signature", signature),
    ];
    let path = format!("/meta/api/ssh-key/{blob}");
    world
        .request(
            Persona::Anon,
            Method::POST,
            &path,
            &headers,
            body.to_owned(),
        )
        .await
}

/// As a server of the network sends it.
async fn signed(world: &World, blob: &str, body: &str, nonce: &str) -> Answer {
    let signature = signature(&secret(), &format!("{body}{nonce}"));
    send(world, blob, body, nonce, &signature).await
}

#[tokio::test]
async fn a_key_that_another_server_has_let_in_was_used() {
    for database in Database::all() {
        let world = world(database).await;
        world.clock.advance(TimeDelta::days(1));
        let answer = signed(&world, BLOB, "{}", NONCE).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let key = answer.json();
        assert_eq!(key["key"], format!("ssh-ed25519 {BLOB}"));
        assert_eq!(key["owner"]["canonical_name"], "~alice");
        assert_eq!(key["last_used"], "2023-11-15T22:13:20");
        let own = format!("/meta/api/user/ssh-keys/{}", key["id"]);
        let own = world.get(Persona::Owner, &own).await;
        assert_eq!(own.json(), key);
        // Nothing to say is signed as well.
        let answer = signed(&world, BLOB, "", "fedcba9876543210").await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        world.end().await;
    }
}

#[tokio::test]
async fn a_nonce_is_good_once() {
    for database in Database::all() {
        let world = world(database).await;
        assert_eq!(signed(&world, BLOB, "{}", NONCE).await.status, 200);
        for body in ["{}", "another"] {
            assert_eq!(signed(&world, BLOB, body, NONCE).await.status, 403);
        }
        world.clock.advance(TimeDelta::days(89));
        assert_eq!(signed(&world, BLOB, "{}", NONCE).await.status, 403);
        // It is used up for whatever was asked.
        let unknown = &BLOB.replace("IAAA", "IBBB");
        let other = "00000000000000aa";
        assert_eq!(signed(&world, unknown, "{}", other).await.status, 404);
        assert_eq!(signed(&world, BLOB, "{}", other).await.status, 403);
        // Two at once.
        let both = futures::future::join(
            signed(&world, BLOB, "{}", "00000000000000bb"),
            signed(&world, BLOB, "{}", "00000000000000bb"),
        );
        let (one, other) = both.await;
        let mut statuses = [one.status.as_u16(), other.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 403]);
        world.end().await;
    }
}

#[tokio::test]
async fn body_and_nonce_cannot_be_cut_elsewhere() {
    let world = world(Database::Sqlite).await;
    let good = signature(&secret(), &format!("body{NONCE}"));
    let (tail, digits) = (format!("y{NONCE}"), format!("body{}", &NONCE[..1]));
    for (body, nonce) in [
        ("bod", tail.as_str()),
        (digits.as_str(), &NONCE[1..]),
        (&format!("body{NONCE}"), ""),
    ] {
        assert_eq!(send(&world, BLOB, body, nonce, &good).await.status, 403);
    }
    assert_eq!(send(&world, BLOB, "body", NONCE, &good).await.status, 200);
    world.end().await;
}

#[tokio::test]
async fn what_is_not_signed_by_the_network_is_refused() {
    for database in Database::all() {
        let world = world(database).await;
        let good = signature(&secret(), &format!("{{}}{NONCE}"));
        let others = SigningKey::from_bytes(&[8; 32]);
        let others = signature(&others, &format!("{{}}{NONCE}"));
        let alone = signature(&secret(), "{}");
        for (body, nonce, signature) in [
            ("{}", NONCE, ""),
            ("{}", "", good.as_str()),
            ("{}", "", alone.as_str()),
            ("{ }", NONCE, good.as_str()),
            ("{}", "0123456789abcdee", good.as_str()),
            ("{}", NONCE, others.as_str()),
            ("{}", NONCE, &good[..84]),
            ("{}", NONCE, "not base64"),
        ] {
            let answer = send(&world, BLOB, body, nonce, signature).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{body} {nonce}");
            assert!(answer.json()["errors"][0]["reason"].is_string());
        }
        let path = format!("/meta/api/ssh-key/{BLOB}");
        let owner = world
            .request(Persona::Owner, Method::POST, &path, &[], "{}")
            .await;
        assert_eq!(owner.status, StatusCode::FORBIDDEN);
        // None of them has used the nonce up.
        assert_eq!(send(&world, BLOB, "{}", NONCE, &good).await.status, 200);
        let large = " ".repeat((64 << 10) + 1);
        let answer = signed(&world, BLOB, &large, "00000000000000cc").await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
        world.end().await;
    }
}

#[tokio::test]
async fn without_a_key_every_signed_request_is_refused() {
    let world = World::new(Database::Sqlite).await;
    let answer = signed(&world, BLOB, "{}", NONCE).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    world.end().await;
}

#[tokio::test]
async fn a_network_key_that_is_none_is_refused_at_the_start() {
    for bad in ["", "x", &STANDARD.encode([0; 32])] {
        let dir = tempfile::tempdir().unwrap();
        let built = forge::builder()
            .data_dir(dir.path())
            .network_key(bad)
            .build()
            .await;
        let error = built.expect_err("a refusal");
        assert!(error.to_string().contains("network_key"), "{error}");
    }
}
