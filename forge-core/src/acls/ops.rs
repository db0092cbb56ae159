//! What is done with access lists.

use super::Acl;
use crate::access::{ManageRepo, Mode, Scope};
use crate::names::UserName;
use crate::{Error, Page, Paged, Result};

impl ManageRepo {
    /// Whom the repository is shared with, newest first. Needs `ACLS:RO`.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn acls(&self, page: Page) -> Result<Paged<Acl>> {
        self.require(Scope::Acls, Mode::Read)?;
        self.forge().store().acls(self.id(), page).await
    }

    /// Shares the repository with a user, or changes how. Needs `ACLS:RW`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for field `entity` if there is no such user, or it is the owner.
    pub async fn set_acl(&self, name: &UserName, mode: Mode) -> Result<Acl> {
        self.require(Scope::Acls, Mode::Write)?;
        let store = self.forge().store();
        let user = store.user_by_name(name).await?;
        let user = user.ok_or_else(|| Error::invalid("entity", "there is no such user"))?;
        if user.id == self.get().owner.id {
            return Err(Error::invalid(
                "entity",
                "the owner needs no access list entry",
            ));
        }
        let mut tx = store.begin().await?;
        let acl = tx
            .put_acl(self.id(), user.id, mode, self.forge().now())
            .await?;
        tx.commit().await?;
        Ok(acl)
    }

    /// Stops sharing the repository with a user. Needs `ACLS:RW`.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it is not shared with them.
    pub async fn remove_acl(&self, name: &UserName) -> Result<()> {
        self.require(Scope::Acls, Mode::Write)?;
        let store = self.forge().store();
        let user = store.user_by_name(name).await?.ok_or(Error::NotFound)?;
        let mut tx = store.begin().await?;
        if !tx.delete_acl(self.id(), user.id).await? {
            return Err(Error::NotFound);
        }
        tx.commit().await
    }
}
