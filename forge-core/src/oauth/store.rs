//! The storage contract of clients, tokens and what leads to them.

use async_trait::async_trait;

use super::{
    Authorization, Client, ClientId, Device, DeviceState, NewClient, NewCode, NewDevice, NewToken,
    Redeemed, RefreshToken, Refreshed, SecretHash, Token, TokenOrigin,
};
use crate::access::Grants;
use crate::clock::Timestamp;
use crate::ids::{AuthorizationId, ClientRow, TokenId, UserId};
use crate::users::User;
use crate::{Page, Paged, Result};

/// Reading clients and tokens.
#[async_trait]
pub trait OauthReads: Send + Sync {
    /// The token of that hash with its user. There is none that has ended by `now`, nor one whose client belongs to somebody
    /// who is suspended: what means nobody takes as long to find out as what never was.
    async fn token_by_hash(
        &self,
        hash: &SecretHash,
        now: Timestamp,
    ) -> Result<Option<(Token, User)>>;
    /// A user's personal tokens that have not expired, newest first.
    async fn personal_tokens(
        &self,
        user: UserId,
        now: Timestamp,
        page: Page,
    ) -> Result<Paged<Token>>;
    /// The client of that public name, revoked or not.
    async fn client(&self, id: &ClientId) -> Result<Option<Client>>;
    /// The same, if that is its secret, or it has none. One with another secret takes as long to find out as none.
    async fn client_by_secret(
        &self,
        id: &ClientId,
        secret: Option<&SecretHash>,
    ) -> Result<Option<Client>>;
    /// The clients that a user has registered and not revoked, newest first.
    async fn clients(&self, owner: UserId, page: Page) -> Result<Paged<Client>>;
    /// The authorization of that number with its client, ended or not.
    async fn authorization(&self, id: AuthorizationId) -> Result<Option<(Authorization, Client)>>;
    /// What a user has let clients do and not ended, newest first.
    async fn authorizations(
        &self,
        user: UserId,
        page: Page,
    ) -> Result<Paged<(Authorization, Client)>>;
    /// The refresh token of that hash, if it has not expired.
    async fn refresh_token(
        &self,
        hash: &SecretHash,
        now: Timestamp,
    ) -> Result<Option<RefreshToken>>;
    /// The device of that user code whose question still waits for its answer, with its client.
    async fn device_by_user_code(
        &self,
        code: &SecretHash,
        now: Timestamp,
    ) -> Result<Option<(Device, Client)>>;
}

/// Writing clients and tokens.
#[async_trait]
pub trait OauthWrites: Send {
    /// Adds a token. [`crate::Error::NotFound`] if there is no such user, or what it is under has ended; that does not end
    /// before this transaction does.
    async fn insert_token(
        &mut self,
        user: UserId,
        hash: &SecretHash,
        new: &NewToken,
        origin: &TokenOrigin,
        now: Timestamp,
    ) -> Result<Token>;
    /// Ends a token's life at `now`; the token as it was. `None` if there is none that lasts longer.
    async fn expire_token(&mut self, id: TokenId, now: Timestamp) -> Result<Option<Token>>;
    /// Notes that a token was shown.
    async fn touch_token(&mut self, id: TokenId, now: Timestamp) -> Result<()>;

    /// Adds a client. [`crate::Error::NotFound`] if there is no such owner.
    async fn insert_client(
        &mut self,
        owner: UserId,
        id: &ClientId,
        secret: Option<&SecretHash>,
        new: &NewClient,
        now: Timestamp,
    ) -> Result<Client>;
    /// Replaces a client's secret. `false` if the owner has no such client, it is revoked, or it has no secret.
    async fn set_client_secret(
        &mut self,
        owner: UserId,
        id: &ClientId,
        secret: &SecretHash,
    ) -> Result<bool>;
    /// Ends a client for good. `false` if the owner has no such client that is in force. Its authorizations are ended
    /// with [`OauthWrites::end_authorizations_of`].
    async fn revoke_client(&mut self, owner: UserId, id: &ClientId, now: Timestamp)
    -> Result<bool>;

    /// Makes a client first-party. `false` if there is no such client in force.
    async fn trust_client(&mut self, id: &ClientId) -> Result<bool>;

    /// Adds a code. [`crate::Error::NotFound`] if there is no such user or client.
    async fn insert_code(&mut self, hash: &SecretHash, new: &NewCode) -> Result<()>;
    /// Uses a code up; of two who do so at once, one finds it fresh. A fresh one comes with a new authorization. One that
    /// was used is known as such for as long as it is kept; one that was not is unknown once its client is revoked.
    async fn redeem_code(&mut self, hash: &SecretHash, now: Timestamp) -> Result<Redeemed>;

    /// Adds an authorization. [`crate::Error::NotFound`] if there is no such user, or no such client in force.
    async fn insert_authorization(
        &mut self,
        user: UserId,
        client: ClientRow,
        grants: &Grants,
        now: Timestamp,
    ) -> Result<Authorization>;
    /// Ends an authorization and its tokens; its refresh tokens are unknown from then on. `false` if there is none or it has
    /// ended before.
    async fn end_authorization(&mut self, id: AuthorizationId, now: Timestamp) -> Result<bool>;
    /// The same for all authorizations of a client. Their users are still to be told, see [`OauthWrites::take_untold`].
    async fn end_authorizations_of(&mut self, client: ClientRow, now: Timestamp) -> Result<()>;
    /// The next users, `most` at most, whose authorizations have ended with [`OauthWrites::end_authorizations_of`], in order,
    /// each once; none if there is none left. When this transaction is committed they count as told, and of two who take at
    /// once, only one gets a user. Whoever was deleted is left out; the others are not deleted before this transaction ends.
    async fn take_untold(&mut self, client: ClientRow, most: u64) -> Result<Vec<UserId>>;
    /// The same for what a user let a client do earlier than in this authorization, but for the latest `keep` of it. How many
    /// have ended by it.
    async fn end_earlier_authorizations(
        &mut self,
        than: &Authorization,
        keep: usize,
        now: Timestamp,
    ) -> Result<usize>;

    /// Adds a refresh token. [`crate::Error::NotFound`] if there is no such authorization.
    async fn insert_refresh_token(
        &mut self,
        hash: &SecretHash,
        authorization: AuthorizationId,
        expires: Timestamp,
    ) -> Result<()>;
    /// Spends a refresh token; of two who do so at once, one finds it unspent. Its authorization does not end before this
    /// transaction does.
    async fn spend_refresh_token(&mut self, hash: &SecretHash, now: Timestamp)
    -> Result<Refreshed>;

    /// Adds a device's question. [`crate::Error::Conflict`] on field `user_code` if that code is in use, be it for a question
    /// that has expired; [`crate::Error::NotFound`] if there is no such client.
    async fn insert_device(
        &mut self,
        device: &SecretHash,
        user_code: &SecretHash,
        new: &NewDevice,
        interval: u32,
    ) -> Result<()>;
    /// Answers a device's question with [`DeviceState::Approved`] or [`DeviceState::Denied`]. `false` if there is none, it
    /// has expired or was answered before.
    async fn answer_device(
        &mut self,
        user_code: &SecretHash,
        answer: &DeviceState,
        now: Timestamp,
    ) -> Result<bool>;
    /// How a device's question stood before this look, expired or not; notes the look. `None` if there is none.
    async fn poll_device(&mut self, device: &SecretHash, now: Timestamp) -> Result<Option<Device>>;
    /// Sets how long a device is to wait.
    async fn slow_device(&mut self, device: &SecretHash, interval: u32) -> Result<()>;
    /// Removes a device's question. `false` if there is none: of two who do so at once, one gets `true`.
    async fn take_device(&mut self, device: &SecretHash) -> Result<bool>;

    /// Removes what ended before that moment: codes, devices, refresh tokens, tokens, and authorizations, also those that
    /// were made before then and have no code, token or refresh token left. What somebody is still to be told of stays.
    async fn purge_oauth(&mut self, before: Timestamp) -> Result<()>;
}
