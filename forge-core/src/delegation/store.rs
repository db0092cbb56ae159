//! The storage contract of what other services leave to the forge.

use async_trait::async_trait;

use super::{DelegatedScope, Ended, NewDelegatedScope, NewWatch, Notice};
use crate::clock::Timestamp;
use crate::ids::{ClientRow, DelegatedScopeId};
use crate::oauth::ClientId;
use crate::{Page, Paged, Result};

/// Reading scopes of services.
#[async_trait]
pub trait DelegationReads: Send + Sync {
    /// The scopes that a client has made, newest first.
    async fn delegated_scopes(
        &self,
        client: ClientRow,
        page: Page,
    ) -> Result<Paged<DelegatedScope>>;
    /// One of them.
    async fn delegated_scope(
        &self,
        client: ClientRow,
        id: DelegatedScopeId,
    ) -> Result<Option<DelegatedScope>>;
    /// All scopes of those of these clients that are first-party and in force, and whose owners are in good standing; by
    /// number.
    async fn scopes_in_force(&self, clients: &[ClientId]) -> Result<Vec<DelegatedScope>>;
}

/// Writing what other services leave to the forge.
#[async_trait]
pub trait DelegationWrites: Send {
    /// Adds a scope. [`crate::Error::Conflict`] on field `name` if the client has one of that name,
    /// [`crate::Error::NotFound`] if there is no such client.
    async fn insert_delegated_scope(
        &mut self,
        client: ClientRow,
        new: &NewDelegatedScope,
        now: Timestamp,
    ) -> Result<DelegatedScope>;
    /// Removes a scope. `false` if the client has no such scope.
    async fn delete_delegated_scope(
        &mut self,
        client: ClientRow,
        id: DelegatedScopeId,
    ) -> Result<bool>;

    /// Keeps who wants to be told of a token's end, in place of what the same service said before: until when the token
    /// lasts, which does not change before this transaction ends. `None` if it has ended, or its user or the owner of its
    /// client is suspended. It is kept no longer than the token.
    async fn watch_token(&mut self, new: &NewWatch, now: Timestamp) -> Result<Option<Timestamp>>;
    /// Takes out who is to be told that tokens have ended: those of the tokens in question whose end has come, or whose user
    /// or client's owner is suspended. A service that was revoked is told nothing.
    async fn take_watches(&mut self, of: Ended, now: Timestamp) -> Result<Vec<Notice>>;

    /// Remembers a nonce. `false` if it is remembered already; of two who do so at once, one gets `true`.
    async fn remember_nonce(&mut self, nonce: &str, now: Timestamp) -> Result<bool>;
    /// Forgets the nonces that were remembered before that moment.
    async fn purge_nonces(&mut self, before: Timestamp) -> Result<()>;
}
