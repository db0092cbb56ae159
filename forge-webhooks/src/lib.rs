//! Webhooks: signed, retried, delivered from the queue. A skeleton: no webhook is delivered yet. What is here is
//! [`HttpCourier`], which tells the services of the forge's own network what they are to be told.
//!
//! What will be here: a [`Plugin`] that turns each event into deliveries (`fanout.rs`), makes one attempt
//! (`deliver.rs`), signs body and nonce with Ed25519 (`sign.rs`) and refuses addresses of the inner network
//! (`client.rs`). The queue that it will stand on is in [`forge_core::events`].
//!
//! [`Plugin`]: forge_core::Plugin

mod client;

pub use client::HttpCourier;
