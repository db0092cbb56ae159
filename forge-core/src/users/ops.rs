//! What is done with users.

use super::{NewUser, User};
use crate::access::{Caller, Mode, Scope, System};
use crate::delegation::Ended;
use crate::identity::Profile;
use crate::names::UserName;
use crate::{Error, Forge, Result};

impl Caller {
    /// The profile of a user. Anybody who is signed in may see anybody's; the e-mail address is there only on one's
    /// own, and only for credentials that cover `PROFILE:RO`.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such user; [`Error::Unauthenticated`] for an anonymous caller.
    pub async fn profile(&self, name: &UserName) -> Result<User> {
        let own = self.user()?;
        if own.name == *name {
            return self.own_profile();
        }
        let user = self
            .forge()
            .store()
            .user_by_name(name)
            .await?
            .ok_or(Error::NotFound)?;
        Ok(User {
            email: None,
            ..user
        })
    }

    /// The caller's own profile; without the e-mail address if the credentials do not cover `PROFILE:RO`.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for an anonymous caller.
    pub fn own_profile(&self) -> Result<User> {
        let mut user = self.user()?.clone();
        if self.require(Scope::GitProfile, Mode::Read).is_err() {
            user.email = None;
        }
        Ok(user)
    }
}

impl Forge {
    /// The user that a host's profile means, added on first sight.
    pub(crate) async fn mirror(&self, profile: &Profile) -> Result<User> {
        let new = NewUser {
            name: profile.name.clone(),
            email: profile.email.clone(),
        };
        match ensure(self, &new).await {
            // The address is another user's here: whoever the host means, it is not that one.
            Err(Error::Conflict {
                field: Some("email"),
                ..
            }) => ensure(self, &NewUser { email: None, ..new }).await,
            outcome => outcome,
        }
    }
}

async fn ensure(forge: &Forge, new: &NewUser) -> Result<User> {
    let store = forge.store();
    if let Some(user) = store.user_by_name(&new.name).await? {
        return Ok(user);
    }
    let mut tx = store.begin().await?;
    match tx.insert_user(new, forge.now()).await {
        Ok(user) => {
            let name = user.name.canonical();
            let details = match &user.email {
                Some(email) => format!("registered {name} ({email})"),
                None => format!("registered {name}"),
            };
            forge
                .note(&mut *tx, user.id, None, "account registered", details)
                .await?;
            tx.commit().await?;
            Ok(user)
        }
        Err(error) => {
            drop(tx);
            // Somebody else may have made the user in between.
            let found = store.user_by_name(&new.name).await?;
            found.ok_or(error)
        }
    }
}

impl System {
    /// The user of that name, made if there is none.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn ensure_user(&self, new: &NewUser) -> Result<User> {
        ensure(self.forge(), new).await
    }

    /// Suspends a user with a notice, which also signs them out everywhere, or with `None` lifts the suspension; effective
    /// on the next request.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such user.
    pub async fn suspend(&self, name: &UserName, notice: Option<&str>) -> Result<()> {
        let store = self.forge().store();
        let user = store.user_by_name(name).await?.ok_or(Error::NotFound)?;
        let mut tx = store.begin().await?;
        tx.set_suspension(user.id, notice, self.forge().now())
            .await?;
        let action = match notice {
            Some(_) => "account suspended",
            None => "suspension lifted",
        };
        if notice.is_some() {
            tx.delete_sessions(user.id).await?;
            let forge = self.forge();
            forge.tell_ended(&mut *tx, Ended::OfUser(user.id)).await?;
        }
        let details = notice.map(ToOwned::to_owned);
        self.forge()
            .note(&mut *tx, user.id, None, action, details)
            .await?;
        tx.commit().await
    }
}
