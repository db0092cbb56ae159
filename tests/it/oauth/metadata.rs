//! What programs find out by themselves (RFC 8414), and from where.
//!
//! Invariant: what the metadata name is there, in both places where they are looked for. What they say of grants and
//! methods, Authlib reads.

use http::header::HOST;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use serde_json::json;

use crate::support::{Answer, Database, Persona, World};

const ORIGIN: &str = "https://git.example.org";
/// Where the metadata are: below the service, and between host and path.
const PLACES: [&str; 2] = [
    "/meta/.well-known/oauth-authorization-server",
    "/.well-known/oauth-authorization-server/meta",
];

async fn ask(world: &World, method: Method, path: &str) -> Answer {
    world.request(Persona::Anon, method, path, &[], "").await
}

#[track_caller]
fn is_for_all(answer: &Answer, path: &str) {
    let header = |name: &str| answer.headers.get(name).map(|it| it.to_str().unwrap());
    let origin = header("access-control-allow-origin");
    assert_eq!(origin, Some("*"), "{path}: {answer:?}");
    let methods = header("access-control-allow-methods");
    assert_eq!(methods, Some("OPTIONS, GET, POST"), "{path}");
    let headers = header("access-control-allow-headers");
    assert_eq!(headers, Some("Content-Type, Authorization"), "{path}");
    // Whose browser it is must not count where every site may ask.
    assert_eq!(header("access-control-allow-credentials"), None, "{path}");
}

#[tokio::test]
async fn every_address_in_the_metadata_is_served() {
    let world = World::with_pages(Database::Sqlite).await;
    let metadata = ask(&world, Method::GET, PLACES[0]).await.json();
    let mut count = 0;
    for (name, value) in metadata.as_object().unwrap() {
        let Some(address) = value.as_str().filter(|text| text.starts_with("http")) else {
            continue;
        };
        if name == "issuer" {
            continue;
        }
        count += 1;
        let path = address.strip_prefix(ORIGIN).unwrap();
        for method in [Method::GET, Method::POST] {
            let answer = ask(&world, method, path).await;
            assert_ne!(answer.status, StatusCode::NOT_FOUND, "{name}: {path}");
            assert!(!answer.status.is_server_error(), "{name}: {answer:?}");
        }
    }
    assert_eq!(count, 5, "{metadata}");
    world.end().await;
}

#[tokio::test]
async fn the_metadata_are_said_word_by_word() {
    let world = World::with_pages(Database::Sqlite).await;
    let methods = json!(["client_secret_basic", "client_secret_post", "none"]);
    let scopes = [
        "git.sr.ht/PROFILE:RO",
        "git.sr.ht/PROFILE:RW",
        "git.sr.ht/REPOSITORIES:RO",
        "git.sr.ht/REPOSITORIES:RW",
        "git.sr.ht/OBJECTS:RO",
        "git.sr.ht/OBJECTS:RW",
        "git.sr.ht/ACLS:RO",
        "git.sr.ht/ACLS:RW",
        "meta.sr.ht/PROFILE:RO",
        "meta.sr.ht/PROFILE:RW",
        "meta.sr.ht/AUDIT_LOG:RO",
        "meta.sr.ht/SSH_KEYS:RO",
        "meta.sr.ht/SSH_KEYS:RW",
        "meta.sr.ht/PGP_KEYS:RO",
        "meta.sr.ht/PGP_KEYS:RW",
    ];
    let device = "urn:ietf:params:oauth:grant-type:device_code";
    let expected = json!({
        "issuer": "https://git.example.org/meta",
        "authorization_endpoint": "https://git.example.org/meta/oauth2/authorize",
        "token_endpoint": "https://git.example.org/meta/oauth2/access-token",
        "introspection_endpoint": "https://git.example.org/meta/oauth2/introspect",
        "revocation_endpoint": "https://git.example.org/meta/oauth2/revoke",
        "device_authorization_endpoint": "https://git.example.org/meta/oauth2/device-authorization",
        "scopes_supported": scopes,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", device],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
        "authorization_response_iss_parameter_supported": true,
    });
    for path in PLACES {
        let answer = ask(&world, Method::GET, path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.headers["content-type"], "application/json");
        assert_eq!(answer.json(), expected, "{path}");
    }
    world.end().await;
}

#[tokio::test]
async fn the_metadata_are_nowhere_else() {
    let world = World::with_pages(Database::Sqlite).await;
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/",
        "/.well-known/oauth-authorization-server/other",
        "/.well-known/oauth-authorization-server/meta/more",
        "/.well-known/oauth-authorization-server/metadata",
        "/meta/.well-known/oauth-authorization-server/other",
    ] {
        let answer = ask(&world, Method::GET, path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}: {answer:?}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_forge_without_pages_has_no_metadata() {
    let world = World::new(Database::Sqlite).await;
    for path in PLACES {
        let answer = ask(&world, Method::GET, path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}: {answer:?}");
    }
    world.end().await;
}

#[tokio::test]
async fn programs_in_browsers_may_ask_what_clients_ask_and_no_page() {
    let world = World::with_pages(Database::Sqlite).await;
    for path in PLACES {
        is_for_all(&ask(&world, Method::GET, path).await, path);
    }
    for path in [
        "/meta/oauth2/access-token",
        "/meta/oauth2/introspect",
        "/meta/oauth2/revoke",
    ] {
        // Before it asks, and whatever comes of it.
        for method in [Method::OPTIONS, Method::POST] {
            is_for_all(&ask(&world, method, path).await, path);
        }
        let preflight = ask(&world, Method::OPTIONS, path).await;
        assert!(preflight.status.is_success(), "{path}: {preflight:?}");
    }
    for path in [
        "/meta/oauth2",
        "/meta/oauth2/authorize",
        "/meta/oauth2/device",
        "/meta/oauth2/client-registration",
        "/meta/oauth/authorize",
        "/meta/login",
    ] {
        let answer = ask(&world, Method::GET, path).await;
        let origin = answer.headers.get("access-control-allow-origin");
        assert_eq!(origin, None, "{path}");
    }
    world.end().await;
}

#[tokio::test]
async fn the_metadata_follow_the_service_to_its_own_host() {
    let configure = |builder: forge::Builder| {
        let builder = builder.passwords();
        builder.meta_origin("https://meta.example.org")
    };
    let world = World::with(Database::Sqlite, configure).await;
    let place = "/.well-known/oauth-authorization-server";
    let request = Request::get(place)
        .header(HOST, "meta.example.org")
        .body(Full::default())
        .unwrap();
    let metadata = world.send(request).await.json();
    assert_eq!(metadata["issuer"], "https://meta.example.org");
    let token = "https://meta.example.org/oauth2/access-token";
    assert_eq!(metadata["token_endpoint"], token);
    world.end().await;
}
