//! What is done with clients: registered and revoked by users, on pages.

use std::net::IpAddr;

use url::Url;

use super::super::{Authorization, Client, ClientId, ClientKind, NewClient, Secret};
use super::authorizations::end_action;
use crate::access::{Account, System};
use crate::delegation::Ended;
use crate::events::{NewJob, Task};
use crate::ids::AuthorizationId;
use crate::store::Tx;
use crate::{Error, FieldError, Forge, Page, Paged, Result, UserId};

/// The longest name, address and description, in characters (meta.sr.ht's limits).
const MAX_NAME: usize = 256;
const MAX_DESCRIPTION: usize = 1024;
/// How many clients an account may have.
const MAX_CLIENTS: u64 = 256;
/// How many users of a revoked client are told in one transaction.
const TOLD_AT_ONCE: u64 = 500;

impl Forge {
    /// The client of that name; `None` if there is none in force. Public: it is what its users are told.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn client(&self, id: &ClientId) -> Result<Option<Client>> {
        let client = self.store().client(id).await?;
        self.in_force(client).await
    }

    /// The client, if it was not revoked and whoever registered it is in good standing. What does not exist takes as long
    /// to find out as what is not in force.
    pub(crate) async fn in_force(&self, client: Option<Client>) -> Result<Option<Client>> {
        let owner = client.as_ref().map_or(UserId(0), |client| client.owner);
        let owner = self.store().user(owner).await?;
        let is_good = owner.is_some_and(|owner| owner.suspended.is_none());
        Ok(client.filter(|client| client.revoked.is_none() && is_good))
    }

    /// Ends a client of that owner and all that users have let it do, and writes so into the owner's log. Its users' logs are
    /// written by a job: there may be very many of them. `None` if there is no such client.
    async fn end_client(
        &self,
        tx: &mut dyn Tx,
        owner: UserId,
        id: &ClientId,
        from: Option<IpAddr>,
    ) -> Result<Option<()>> {
        let now = self.now();
        if !tx.revoke_client(owner, id, now).await? {
            return Ok(None);
        }
        let client = tx.client(id).await?.ok_or(Error::NotFound)?;
        tx.end_authorizations_of(client.id, now).await?;
        self.tell_ended(tx, Ended::OfClient(client.id)).await?;
        let action = match client.kind {
            ClientKind::Legacy => "deleted oauth client",
            ClientKind::Public | ClientKind::Confidential => "OAuth 2.0 client revoked",
        };
        self.note(tx, owner, from, action, id.to_string()).await?;
        tx.enqueue(NewJob {
            run_at: now,
            key: Some(format!("tell-of-client:{id}")),
            task: Task::TellOfClient(id.clone()),
        })
        .await?;
        Ok(Some(()))
    }

    /// Tells the users of a client that was revoked, a batch in a transaction with the note that they were told: so each is
    /// told once, whatever comes between.
    pub(crate) async fn run_tell_of_client(&self, id: &ClientId) -> Result<()> {
        // Gone with its owner, and with it what users had let it do.
        let Some(client) = self.store().client(id).await? else {
            return Ok(());
        };
        let details = format!("{}: the application was revoked", client.in_log());
        loop {
            let mut tx = self.store().begin().await?;
            let users = tx.take_untold(client.id, TOLD_AT_ONCE).await?;
            if users.is_empty() {
                return Ok(());
            }
            // Where its owner is, is nothing for its users to know.
            let (from, action) = (None, end_action(client.kind));
            self.note_all(&mut *tx, &users, from, action, details.clone())
                .await?;
            tx.commit().await?;
        }
    }
}

impl System {
    /// Ends a client for good, and all that users have let it do, whoever registered it.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such client in force.
    pub async fn revoke_client(&self, id: &ClientId) -> Result<()> {
        let forge = self.forge();
        let mut tx = forge.store().begin().await?;
        let client = tx.client(id).await?.ok_or(Error::NotFound)?;
        let ended = forge.end_client(&mut *tx, client.owner, id, None).await?;
        ended.ok_or(Error::NotFound)?;
        tx.commit().await?;
        forge.wake();
        Ok(())
    }

    /// Makes a client of the older scheme one of the network's own services, see [`crate::delegation`]. That cannot be taken
    /// back but by revoking it.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such client in force; [`Error::Invalid`] on field `client_id` for one of OAuth 2.0.
    pub async fn trust_client(&self, id: &ClientId) -> Result<()> {
        let mut tx = self.forge().store().begin().await?;
        let client = tx.client(id).await?.ok_or(Error::NotFound)?;
        if client.kind != ClientKind::Legacy {
            let reason = "client_id must be that of a client of the older scheme";
            return Err(Error::invalid("client_id", reason));
        }
        if !tx.trust_client(id).await? {
            return Err(Error::NotFound);
        }
        tx.commit().await
    }
}

impl Account {
    /// Registers a client. The secret of one that has any is returned this once and not kept. For pages.
    ///
    /// # Errors
    /// [`Error::Invalid`] on `name`, `description`, `url` or `redirect_uri`.
    pub async fn register_client(&self, new: &NewClient) -> Result<(Client, Option<Secret>)> {
        self.require_session()?;
        check(new)?;
        let forge = self.forge();
        let (store, owner) = (forge.store(), self.user().id);
        if store.clients(owner, Page::COUNT).await?.total >= MAX_CLIENTS {
            let reason = "an account may have at most 256 clients";
            return Err(Error::invalid("name", reason));
        }
        let id = new_id(forge, new.kind)?;
        let secret = match new.kind {
            ClientKind::Public => None,
            ClientKind::Confidential | ClientKind::Legacy => {
                Some(Secret::generate("", forge.entropy())?)
            }
        };
        let hash = secret.as_ref().map(Secret::hash);
        let mut tx = self.begin().await?;
        let client = tx
            .insert_client(owner, &id, hash.as_ref(), new, forge.now())
            .await?;
        let action = match new.kind {
            ClientKind::Legacy => "register oauth client",
            ClientKind::Public | ClientKind::Confidential => "OAuth 2.0 client registered",
        };
        self.note(&mut *tx, action, id.to_string()).await?;
        tx.commit().await?;
        Ok((client, secret))
    }

    /// The clients that this account has registered, newest first. For pages.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn clients(&self, page: Page) -> Result<Paged<Client>> {
        self.require_session()?;
        self.forge().store().clients(self.user().id, page).await
    }

    /// Gives a client a new secret; the old one is worth nothing from now on. For pages.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the account has no such client with a secret.
    pub async fn reset_client_secret(&self, id: &ClientId) -> Result<Secret> {
        self.require_session()?;
        let secret = Secret::generate("", self.forge().entropy())?;
        let mut tx = self.begin().await?;
        let owner = self.user().id;
        if !tx.set_client_secret(owner, id, &secret.hash()).await? {
            return Err(Error::NotFound);
        }
        self.note(&mut *tx, "reset client secret", id.to_string())
            .await?;
        tx.commit().await?;
        Ok(secret)
    }

    /// Ends a client for good, and all that users have let it do. For pages.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the account has no such client.
    pub async fn revoke_client(&self, id: &ClientId) -> Result<()> {
        self.require_session()?;
        let (forge, from) = (self.forge(), self.caller().address());
        let mut tx = forge.store().begin().await?;
        let ended = forge.end_client(&mut *tx, self.user().id, id, from).await?;
        ended.ok_or(Error::NotFound)?;
        tx.commit().await?;
        forge.wake();
        Ok(())
    }

    /// What the user has let clients do, newest first. For pages.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn authorizations(&self, page: Page) -> Result<Paged<(Authorization, Client)>> {
        self.require_session()?;
        let store = self.forge().store();
        store.authorizations(self.user().id, page).await
    }

    /// Takes back what the user has let a client do; its tokens mean nobody from the next request on. For pages.
    ///
    /// # Errors
    /// [`Error::NotFound`] if this user has given no such authorization, or it has ended.
    pub async fn revoke_authorization(&self, id: AuthorizationId) -> Result<()> {
        self.require_session()?;
        let now = self.forge().now();
        let mut tx = self.forge().store().begin().await?;
        let (found, client) = tx.authorization(id).await?.ok_or(Error::NotFound)?;
        if found.user != self.user().id || !tx.end_authorization(id, now).await? {
            return Err(Error::NotFound);
        }
        let forge = self.forge();
        forge
            .tell_ended(&mut *tx, Ended::OfUser(found.user))
            .await?;
        self.note(&mut *tx, end_action(client.kind), client.in_log())
            .await?;
        tx.commit().await
    }
}

fn new_id(forge: &Forge, kind: ClientKind) -> Result<ClientId> {
    let mut random = [0; 16];
    forge.entropy().fill(&mut random)?;
    let id = uuid::Builder::from_random_bytes(random).into_uuid();
    match kind {
        ClientKind::Legacy => id.simple().to_string().chars().skip(16).collect::<String>(),
        ClientKind::Public | ClientKind::Confidential => id.hyphenated().to_string(),
    }
    .parse()
}

/// Everything that is wrong with a registration.
fn check(new: &NewClient) -> Result<()> {
    let mut faults = Vec::new();
    let mut fault = |field, reason: &str| {
        faults.push(FieldError {
            field: Some(field),
            reason: format!("{field} {reason}"),
        });
    };
    let is_long = |text: &str, most| text.chars().count() > most;
    if new.name.trim().is_empty() {
        fault("name", "is required");
    } else if is_long(&new.name, MAX_NAME) || new.name.chars().any(char::is_control) {
        fault("name", "must be one line of at most 256 characters");
    }
    let is_odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if new
        .description
        .as_deref()
        .is_some_and(|text| is_long(text, MAX_DESCRIPTION) || text.contains(is_odd))
    {
        fault("description", "must be text of at most 1024 characters");
    }
    if let Some(url) = &new.url {
        let is_web = Url::parse(url)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if !is_web || is_long(url, MAX_NAME) || url.contains(char::is_control) {
            fault(
                "url",
                "must be an http or https address of at most 256 characters",
            );
        }
    }
    if let Some(reason) = no_redirect_uri(&new.redirect_uri, new.kind) {
        fault("redirect_uri", reason);
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Error::Invalid(faults))
    }
}

/// Why nobody may be sent back there: RFC 6749 3.1.2, and RFC 8252 7.1 for schemes of a program's own.
fn no_redirect_uri(text: &str, kind: ClientKind) -> Option<&'static str> {
    if text.is_empty() {
        return Some("is required");
    }
    if text.len() > MAX_NAME || !text.is_ascii() || text.contains(|c: char| c.is_ascii_control()) {
        return Some("must have at most 256 ASCII characters");
    }
    // The older scheme's word for "show the code to the user".
    if kind == ClientKind::Legacy && text == OUT_OF_BAND {
        return None;
    }
    let Ok(url) = Url::parse(text) else {
        return Some("must be an absolute address");
    };
    if url.fragment().is_some() {
        return Some("must not have a fragment");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Some("must not have a user or password");
    }
    // A program's own server, on the machine of its user (RFC 8252 7.3).
    let is_local = matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
    match url.scheme() {
        "https" if url.has_host() => None,
        "http" if is_local => None,
        "http" => Some("must be https, unless it leads to the user's own machine"),
        // A browser would run or open these itself.
        scheme if scheme.contains('.') => None,
        _ => Some("must be https, or a scheme with a dot, such as org.example.app"),
    }
}

/// What a legacy client gives for a redirect URI if its user is to copy the code by hand.
pub const OUT_OF_BAND: &str = "urn:ietf:wg:oauth:2.0:oob";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_sent_back_where_nobody_listens_in() {
        for good in [
            "https://app.example/cb",
            "http://127.0.0.1/cb",
            "http://127.0.0.1:8080/cb",
            "http://[::1]/cb",
            "http://localhost:1/cb",
            "org.example.app:/cb",
        ] {
            assert_eq!(no_redirect_uri(good, ClientKind::Public), None, "{good}");
        }
        for bad in [
            "",
            "/cb",
            "http://app.example/cb",
            "http://127.0.0.2/cb",
            "http://127.0.0.1.app.example/cb",
            "http://localhost.app.example/cb",
            "https://app.example/cb#x",
            "https://user@app.example/cb",
            "javascript:alert(1)",
            "data:text/html,x",
            "app:/cb",
            "https://app.example/\u{e9}",
            OUT_OF_BAND,
        ] {
            assert!(no_redirect_uri(bad, ClientKind::Public).is_some(), "{bad}");
        }
        assert_eq!(no_redirect_uri(OUT_OF_BAND, ClientKind::Legacy), None);
    }
}
