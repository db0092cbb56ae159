//! What is done with the scopes of services.

use std::collections::BTreeSet;

use super::super::{DelegatedScope, NewDelegatedScope};
use crate::access::{Grants, Mode, Service};
use crate::ids::DelegatedScopeId;
use crate::oauth::ClientId;
use crate::{Error, Forge, Page, Paged, Result};

/// The longest description, in characters (the column of meta.sr.ht's).
const MAX_DESCRIPTION: usize = 512;
/// How many scopes a service may have: its users have to read them.
const MAX_SCOPES: u64 = 64;
/// Of how many services one request may name scopes.
const MAX_SERVICES: usize = 16;

/// What a request of the older scheme asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// All of it.
    pub grants: Grants,
    /// What there is to say of the scopes of other services that are in it, by name.
    pub scopes: Vec<DelegatedScope>,
}

impl Forge {
    /// Reads legacy text that may name scopes of services. Public: it is what users are asked.
    ///
    /// # Errors
    /// [`Error::Invalid`] on field `scopes`: an unknown scope or mode, writing to a read-only scope, a service that is not in
    /// force, or more than 16 services.
    pub async fn legacy_grants(&self, text: &str) -> Result<Wanted> {
        let (mut grants, named) = Grants::read_legacy(text)?;
        let services: BTreeSet<_> = named.keys().map(|named| named.client.clone()).collect();
        let known = self.scopes_in_force(services).await?;
        let mut scopes = Vec::new();
        for (named, mode) in named {
            let found = known.iter().find(|known| known.scope.named == named);
            let found = found.filter(|known| known.is_writable || mode == Mode::Read);
            let found = found.ok_or_else(|| {
                Error::invalid("scopes", format!("{:?} is not a scope", named.to_string()))
            })?;
            grants.grant_delegated(found.scope.clone(), mode);
            scopes.push(found.clone());
        }
        Ok(Wanted { grants, scopes })
    }

    /// Takes out of grants the scopes that are gone, or whose service is.
    pub(super) async fn drop_dead_scopes(&self, grants: &mut Grants) -> Result<()> {
        let services = grants.delegated();
        let services = services
            .map(|(scope, _)| scope.named.client.clone())
            .collect();
        let known = self.scopes_in_force(services).await?;
        grants.keep_delegated(|scope| known.iter().any(|known| known.scope == *scope));
        Ok(())
    }

    async fn scopes_in_force(&self, services: BTreeSet<ClientId>) -> Result<Vec<DelegatedScope>> {
        if services.is_empty() {
            return Ok(Vec::new());
        }
        if services.len() > MAX_SERVICES {
            let reason = "scopes must be those of at most 16 services";
            return Err(Error::invalid("scopes", reason));
        }
        let services: Vec<_> = services.into_iter().collect();
        self.store().scopes_in_force(&services).await
    }
}

impl Service {
    /// The scopes that the service has made, newest first.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn scopes(&self, page: Page) -> Result<Paged<DelegatedScope>> {
        let store = self.forge().store();
        store.delegated_scopes(self.client().id, page).await
    }

    /// One of them.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the service has no such scope.
    pub async fn scope(&self, id: DelegatedScopeId) -> Result<DelegatedScope> {
        let store = self.forge().store();
        let found = store.delegated_scope(self.client().id, id).await?;
        found.ok_or(Error::NotFound)
    }

    /// Makes a scope, which users may grant from now on.
    ///
    /// # Errors
    /// [`Error::Conflict`] on field `name` if the service has one of that name; [`Error::Invalid`] on `description`, or on
    /// `name` if there are 64 scopes already.
    pub async fn create_scope(&self, new: &NewDelegatedScope) -> Result<DelegatedScope> {
        check_description(&new.description)?;
        let store = self.forge().store();
        let count = store
            .delegated_scopes(self.client().id, Page::COUNT)
            .await?;
        if count.total >= MAX_SCOPES {
            let reason = "a service may have at most 64 scopes";
            return Err(Error::invalid("name", reason));
        }
        let mut tx = store.begin().await?;
        let made = tx
            .insert_delegated_scope(self.client().id, new, self.forge().now())
            .await?;
        tx.commit().await?;
        Ok(made)
    }

    /// Removes a scope; whoever was granted it has it no more, even if one of the same name is made later.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the service has no such scope.
    pub async fn delete_scope(&self, id: DelegatedScopeId) -> Result<()> {
        let mut tx = self.forge().store().begin().await?;
        if !tx.delete_delegated_scope(self.client().id, id).await? {
            return Err(Error::NotFound);
        }
        tx.commit().await
    }
}

/// What users are told is one line.
///
/// # Errors
/// [`Error::Invalid`] on field `description`.
fn check_description(text: &str) -> Result<()> {
    let is_good = !text.trim().is_empty()
        && text.chars().count() <= MAX_DESCRIPTION
        && !text.contains(char::is_control);
    if is_good {
        return Ok(());
    }
    let reason = "description must be one line of 1 to 512 characters";
    Err(Error::invalid("description", reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_one_line() {
        let longest = "\u{e9}".repeat(MAX_DESCRIPTION);
        for good in ["your lists", longest.as_str()] {
            assert!(check_description(good).is_ok(), "{good:?}");
        }
        let longer = format!("{longest}a");
        for bad in ["", "  ", "a\nb", "a\u{0}", "\u{9b}1m", longer.as_str()] {
            assert!(check_description(bad).is_err(), "{bad:?}");
        }
    }
}
