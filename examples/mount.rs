//! A forge inside an axum app: the app keeps its own pages, the forge adds its paths.
//!
//! `cargo run --example mount`, then open <http://127.0.0.1:8080/> and <http://127.0.0.1:8080/api/version>.

use std::error::Error;

use axum::Router;
use axum::routing::get;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let forge = forge::builder().data_dir("forge-data").build().await?;
    // Events, removals and plugins' jobs are done here; it may as well run in another process.
    tokio::spawn(forge.worker());

    let site = Router::new()
        .route("/", get(async || "This page is the app's."))
        .fallback(async || (http::StatusCode::NOT_FOUND, "This 404 is the app's, too."))
        .layer(forge.layer());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    axum::serve(listener, site)
        .with_graceful_shutdown(forge::ctrl_c())
        .await?;
    Ok(())
}
