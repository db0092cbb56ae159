//! Clients, what users let them do, and the tokens and codes of that.
//!
//! Invariant: what works once is used up by one statement that asks whether it still is whole, and whoever uses it holds
//! its authorization until the transaction ends; so what is ended has nothing added to it, in PostgreSQL too, where
//! transactions run side by side. What proves to be whose is decided elsewhere.

mod authorizations;
mod clients;
mod codes;
mod devices;
mod tokens;

use async_trait::async_trait;
use forge_core::access::Grants;
use forge_core::oauth::{
    Authorization, Client, ClientId, Device, DeviceState, NewClient, NewCode, NewDevice, NewToken,
    OauthReads, OauthWrites, Redeemed, RefreshToken, Refreshed, SecretHash, Token, TokenOrigin,
};
use forge_core::users::User;
use forge_core::{AuthorizationId, ClientRow, Page, Paged, Result, Timestamp, TokenId, UserId};

use crate::error::unreadable;
use crate::store::{Source, Sql, Table, Transaction};

fn grants(text: &str) -> Result<Grants> {
    Grants::parse_stored(text).ok_or_else(|| unreadable("grant"))
}

fn bytes(hash: &SecretHash) -> Vec<u8> {
    hash.0.to_vec()
}

#[async_trait]
impl<S: Source> OauthReads for Sql<S> {
    async fn token_by_hash(
        &self,
        hash: &SecretHash,
        now: Timestamp,
    ) -> Result<Option<(Token, User)>> {
        let read = tokens::by_hash(self.conn(), hash, now);
        match self.cache() {
            Some(cache) => cache.token(hash, now, read).await,
            None => read.await,
        }
    }

    async fn personal_tokens(
        &self,
        user: UserId,
        now: Timestamp,
        of: Page,
    ) -> Result<Paged<Token>> {
        tokens::personal(self.conn(), user, now, of).await
    }

    async fn client(&self, id: &ClientId) -> Result<Option<Client>> {
        clients::by_id(self.conn(), id).await
    }

    async fn client_by_secret(
        &self,
        id: &ClientId,
        secret: Option<&SecretHash>,
    ) -> Result<Option<Client>> {
        clients::by_secret(self.conn(), id, secret).await
    }

    async fn clients(&self, owner: UserId, of: Page) -> Result<Paged<Client>> {
        clients::of_owner(self.conn(), owner, of).await
    }

    async fn authorization(&self, id: AuthorizationId) -> Result<Option<(Authorization, Client)>> {
        authorizations::by_id(self.conn(), id).await
    }

    async fn authorizations(
        &self,
        user: UserId,
        of: Page,
    ) -> Result<Paged<(Authorization, Client)>> {
        authorizations::of_user(self.conn(), user, of).await
    }

    async fn refresh_token(
        &self,
        hash: &SecretHash,
        now: Timestamp,
    ) -> Result<Option<RefreshToken>> {
        tokens::refresh_by_hash(self.conn(), hash, now).await
    }

    async fn device_by_user_code(
        &self,
        code: &SecretHash,
        now: Timestamp,
    ) -> Result<Option<(Device, Client)>> {
        devices::by_user_code(self.conn(), code, now).await
    }
}

#[async_trait]
impl OauthWrites for Sql<Transaction> {
    async fn insert_token(
        &mut self,
        user: UserId,
        hash: &SecretHash,
        new: &NewToken,
        origin: &TokenOrigin,
        now: Timestamp,
    ) -> Result<Token> {
        tokens::insert(self.write(Table::Cached), user, hash, new, origin, now).await
    }

    async fn expire_token(&mut self, id: TokenId, now: Timestamp) -> Result<Option<Token>> {
        tokens::expire(self.write(Table::Cached), id, now).await
    }

    async fn touch_token(&mut self, id: TokenId, now: Timestamp) -> Result<()> {
        tokens::touch(self.write(Table::Cached), id, now).await
    }

    async fn insert_client(
        &mut self,
        owner: UserId,
        id: &ClientId,
        secret: Option<&SecretHash>,
        new: &NewClient,
        now: Timestamp,
    ) -> Result<Client> {
        clients::insert(self.write(Table::Uncached), owner, id, secret, new, now).await
    }

    async fn set_client_secret(
        &mut self,
        owner: UserId,
        id: &ClientId,
        secret: &SecretHash,
    ) -> Result<bool> {
        clients::set_secret(self.write(Table::Uncached), owner, id, secret).await
    }

    async fn revoke_client(
        &mut self,
        owner: UserId,
        id: &ClientId,
        now: Timestamp,
    ) -> Result<bool> {
        clients::revoke(self.write(Table::Uncached), owner, id, now).await
    }

    async fn trust_client(&mut self, id: &ClientId) -> Result<bool> {
        clients::trust(self.write(Table::Uncached), id).await
    }

    async fn insert_code(&mut self, hash: &SecretHash, new: &NewCode) -> Result<()> {
        codes::insert(self.write(Table::Uncached), hash, new).await
    }

    async fn redeem_code(&mut self, hash: &SecretHash, now: Timestamp) -> Result<Redeemed> {
        codes::redeem(self.write(Table::Uncached), hash, now).await
    }

    async fn insert_authorization(
        &mut self,
        user: UserId,
        client: ClientRow,
        grants: &Grants,
        now: Timestamp,
    ) -> Result<Authorization> {
        authorizations::insert(self.write(Table::Uncached), user, client, grants, now).await
    }

    async fn end_authorization(&mut self, id: AuthorizationId, now: Timestamp) -> Result<bool> {
        authorizations::end_one(self.write(Table::Cached), id, now).await
    }

    async fn end_authorizations_of(&mut self, client: ClientRow, now: Timestamp) -> Result<()> {
        authorizations::end_of(self.write(Table::Cached), client, now).await
    }

    async fn take_untold(&mut self, client: ClientRow, most: u64) -> Result<Vec<UserId>> {
        authorizations::take_untold(self.write(Table::Uncached), client, most).await
    }

    async fn end_earlier_authorizations(
        &mut self,
        than: &Authorization,
        keep: usize,
        now: Timestamp,
    ) -> Result<usize> {
        authorizations::end_earlier(self.write(Table::Cached), than, keep, now).await
    }

    async fn insert_refresh_token(
        &mut self,
        hash: &SecretHash,
        authorization: AuthorizationId,
        expires: Timestamp,
    ) -> Result<()> {
        tokens::insert_refresh(self.write(Table::Uncached), hash, authorization, expires).await
    }

    async fn spend_refresh_token(
        &mut self,
        hash: &SecretHash,
        now: Timestamp,
    ) -> Result<Refreshed> {
        tokens::spend_refresh(self.write(Table::Uncached), hash, now).await
    }

    async fn insert_device(
        &mut self,
        device: &SecretHash,
        user_code: &SecretHash,
        new: &NewDevice,
        interval: u32,
    ) -> Result<()> {
        let tx = self.write(Table::Uncached);
        devices::insert(tx, device, user_code, new, interval).await
    }

    async fn answer_device(
        &mut self,
        user_code: &SecretHash,
        answer: &DeviceState,
        now: Timestamp,
    ) -> Result<bool> {
        devices::answer(self.write(Table::Uncached), user_code, answer, now).await
    }

    async fn poll_device(&mut self, device: &SecretHash, now: Timestamp) -> Result<Option<Device>> {
        devices::poll(self.write(Table::Uncached), device, now).await
    }

    async fn slow_device(&mut self, device: &SecretHash, interval: u32) -> Result<()> {
        devices::slow(self.write(Table::Uncached), device, interval).await
    }

    async fn take_device(&mut self, device: &SecretHash) -> Result<bool> {
        devices::take(self.write(Table::Uncached), device).await
    }

    async fn purge_oauth(&mut self, before: Timestamp) -> Result<()> {
        let tx = self.write(Table::Cached);
        codes::purge(tx, before).await?;
        devices::purge(tx, before).await?;
        tokens::purge(tx, before).await?;
        authorizations::purge(tx, before).await
    }
}
