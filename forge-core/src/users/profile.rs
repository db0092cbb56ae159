//! What users say about themselves, and how they change their address.
//!
//! Invariant: an address is a user's only after a code that was mailed there came back. Until then it is parked, and the
//! old one stays. Passwords and keys are not here.

use std::net::IpAddr;

use chrono::TimeDelta;
use url::Url;

use super::{ProfileChange, User};
use crate::access::{Account, Mode, Scope};
use crate::events::EventKind;
use crate::mailer::Mail;
use crate::oauth::{Secret, SecretHash};
use crate::{Error, FieldError, Forge, Result};

/// The longest URL, place or address, in bytes.
const MAX_LINE: usize = 256;
/// The longest text about oneself, in bytes.
const MAX_BIO: usize = 4096;
/// What a home page may be fetched with.
const SCHEMES: [&str; 5] = ["http", "https", "gopher", "gemini", "finger"];
/// What the codes begin with that are mailed to a new address.
const CODE_PREFIX: &str = "forge_email_";
/// How many mails of that kind an account may have sent in a quarter of an hour.
const MAILS: u32 = 5;
/// How long a code waits for its way back.
const CODE_LIFE: TimeDelta = TimeDelta::hours(24);

/// What a user wants changed; what is `None` stays.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ProfileEdit {
    /// Home page; `Some(None)` clears it.
    pub url: Option<Option<String>>,
    /// Where they say they are.
    pub location: Option<Option<String>>,
    /// What they say about themselves, in Markdown.
    pub bio: Option<Option<String>>,
    /// A new e-mail address; blanks around it do not count.
    pub email: Option<String>,
}

impl std::fmt::Debug for ProfileEdit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProfileEdit").finish_non_exhaustive()
    }
}

impl ProfileEdit {
    /// What is wrong with it, all at once.
    ///
    /// # Errors
    /// [`Error::Invalid`] for the fields `url`, `location`, `bio` and `email`.
    pub fn check(&self) -> Result<()> {
        let mut faults = Vec::new();
        let url = self.url.iter().flatten().find_map(|url| url_fault(url));
        fault(&mut faults, "url", url);
        for (field, text, max) in [
            ("location", &self.location, MAX_LINE),
            ("bio", &self.bio, MAX_BIO),
        ] {
            let text = text.iter().flatten().next().map_or("", String::as_str);
            fault(&mut faults, field, text_fault(text, max));
        }
        let email = self.email.as_deref().map(str::trim);
        fault(&mut faults, "email", email.and_then(email_fault));
        if faults.is_empty() {
            Ok(())
        } else {
            Err(Error::Invalid(faults))
        }
    }

    /// The parts that would be other than they are.
    fn against(&self, user: &User) -> (ProfileChange, Option<String>) {
        let other = |wanted: &Option<Option<String>>, is: &Option<String>| {
            wanted.clone().filter(|wanted| wanted != is)
        };
        let change = ProfileChange {
            url: other(&self.url, &user.url),
            location: other(&self.location, &user.location),
            bio: other(&self.bio, &user.bio),
            pgp_key: None,
        };
        let email = self.email.as_deref().map(str::trim);
        let email = email.filter(|email| user.email.as_deref() != Some(*email));
        (change, email.map(ToOwned::to_owned))
    }
}

fn fault(faults: &mut Vec<FieldError>, field: &'static str, why: Option<String>) {
    faults.extend(why.map(|why| FieldError {
        field: Some(field),
        reason: format!("{field} {why}"),
    }));
}

fn url_fault(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some("may not be empty; null clears it".to_owned());
    }
    if let Some(why) = text_fault(text, MAX_LINE) {
        return Some(why);
    }
    let Ok(url) = Url::parse(text) else {
        return Some("is not a URL".to_owned());
    };
    if !SCHEMES.contains(&url.scheme()) {
        return Some(format!("must begin with one of {}", SCHEMES.join(", ")));
    }
    let has_host = url.host_str().is_some_and(|host| !host.is_empty());
    (!has_host).then(|| "needs a host".to_owned())
}

fn text_fault(text: &str, max: usize) -> Option<String> {
    if text.len() > max {
        return Some(format!("must have at most {max} bytes"));
    }
    // PostgreSQL cannot store it.
    text.contains('\0')
        .then(|| "may not hold NUL characters".to_owned())
}

fn email_fault(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some("is required".to_owned());
    }
    if text.len() > MAX_LINE {
        return Some(format!("must have at most {MAX_LINE} bytes"));
    }
    // In a header, these would make several addresses of one, or a name.
    let odd = |c: char| {
        c.is_control() || c.is_whitespace() || matches!(c, '<' | '>' | ',' | ';' | '"' | '(' | ')')
    };
    let parts = text.split_once('@');
    let is_one = parts
        .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'));
    (!is_one || text.contains(odd)).then(|| "must be an e-mail address".to_owned())
}

impl Account {
    /// The user with everything they say about themselves. Needs `PROFILE:RO`.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without the scope.
    pub fn profile(&self) -> Result<&User> {
        self.require(Scope::MetaProfile, Mode::Read)?;
        Ok(self.user())
    }

    /// Changes what the user says about themselves. Another address is not theirs yet after this: a code is mailed to it
    /// for [`Forge::confirm_email`], and a notice to the old one. Needs `PROFILE:RW`.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every fault there is; for field `email` also if somebody has the address, or mail is not
    /// sent here. [`Error::Unavailable`] if the code could not be mailed; the rest was changed.
    pub async fn update_profile(&self, edit: &ProfileEdit) -> Result<User> {
        self.require(Scope::MetaProfile, Mode::Write)?;
        let forge = self.forge();
        let mut tx = forge.store().begin().await?;
        let id = self.user().id;
        let mut user = tx.user(id).await?.ok_or(Error::NotFound)?;
        let (change, email) = edit.against(&user);
        let mails = format!("mails to confirm of {id}");
        let mut faults = match edit.check() {
            Err(Error::Invalid(faults)) => faults,
            outcome => outcome.map(|()| Vec::new())?,
        };
        if let Some(email) = &email
            && faults.iter().all(|fault| fault.field != Some("email"))
        {
            let other = tx.user_by_email(email).await?;
            let why = if forge.mailer().is_none() {
                Some("cannot be changed: mail is not sent here")
            } else if forge.attempts().wait(&mails, MAILS, forge.now()).is_some() {
                Some("was changed too often: try again in a quarter of an hour")
            } else {
                other.map(|_| "is another account's")
            };
            fault(&mut faults, "email", why.map(ToOwned::to_owned));
        }
        if !faults.is_empty() {
            return Err(Error::Invalid(faults));
        }
        if change == ProfileChange::default() && email.is_none() {
            return Ok(user);
        }

        let now = forge.now();
        let old = user.email.clone();
        if change != ProfileChange::default() {
            let changed = tx.update_profile(id, &change, now).await?;
            user = changed.ok_or(Error::NotFound)?;
            let action = "Profile updated";
            self.note(&mut *tx, action, action.to_owned()).await?;
            tx.emit(forge.event(EventKind::ProfileUpdated(user.clone()))?)
                .await?;
        }
        let mut parked = None;
        if let Some(email) = email {
            let code = Secret::generate(CODE_PREFIX, forge.entropy())?;
            tx.park_email(id, &email, &code.hash(), now).await?;
            let details = format!("{} => {email}", old.as_deref().unwrap_or("none"));
            self.note(&mut *tx, "Email change requested", details)
                .await?;
            forge.attempts().fail(&mails, now);
            parked = Some((email, code));
        }
        tx.commit().await?;
        forge.wake();

        if let Some((email, code)) = parked {
            let what =
                format!("Somebody has asked to change your account's e-mail address to {email}.");
            forge
                .notify(&user, "Your e-mail address is to be changed", &what)
                .await;
            forge.send(confirmation(forge, &user, email, &code)).await?;
        }
        Ok(user)
    }
}

fn confirmation(forge: &Forge, user: &User, to: String, code: &Secret) -> Mail {
    let path = format!("/profile/confirm-email?code={}", code.expose());
    let body = format!(
        "Hello {},\n\nOpen this page within 24 hours, and this is your account's e-mail address:\n{}\n\nIf you have not \
         asked for it, there is nothing to do.\n",
        user.name.canonical(),
        forge.meta_origin().url_of(&path),
    );
    Mail {
        to,
        subject: "Confirm your e-mail address".to_owned(),
        body,
    }
}

impl Forge {
    /// Makes the address to which a code was mailed its user's; the user as they are now. The code says who it is, so
    /// nobody need be signed in. `from` is the address of whoever shows the code.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the code means nothing (any more), or somebody has the address by now; [`Error::Conflict`] on
    /// field `email` if somebody takes it in this moment; [`Error::Forbidden`] for a suspended account.
    pub async fn confirm_email(&self, code: &str, from: Option<IpAddr>) -> Result<User> {
        // What is none needs no transaction, which a store may have one of.
        let digits = code.strip_prefix(CODE_PREFIX);
        if digits.is_none_or(|digits| digits.len() != 64) {
            return Err(Error::NotFound);
        }
        let now = self.now();
        let hash = SecretHash::of(code);
        let mut tx = self.store().begin().await?;
        let Some((before, new)) = tx.confirm_email(&hash, now - CODE_LIFE, now).await? else {
            // That the code is spent is kept.
            tx.commit().await?;
            return Err(Error::NotFound);
        };
        if before.suspended.is_some() {
            return Err(Error::forbidden("this account is suspended"));
        }
        let old = before.email.as_deref().unwrap_or("none");
        let details = format!("{old} became {new}");
        self.note(&mut *tx, before.id, from, "email updated", details)
            .await?;
        let user = tx.user(before.id).await?.ok_or(Error::NotFound)?;
        tx.emit(self.event(EventKind::ProfileUpdated(user.clone()))?)
            .await?;
        tx.commit().await?;
        self.wake();
        Ok(user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(edit: &ProfileEdit) -> Vec<&'static str> {
        match edit.check() {
            Ok(()) => Vec::new(),
            Err(Error::Invalid(faults)) => faults.iter().filter_map(|fault| fault.field).collect(),
            Err(error) => panic!("{error:?}"),
        }
    }

    fn with_url(url: &str) -> ProfileEdit {
        ProfileEdit {
            url: Some(Some(url.to_owned())),
            ..ProfileEdit::default()
        }
    }

    fn with_email(email: &str) -> ProfileEdit {
        ProfileEdit {
            email: Some(email.to_owned()),
            ..ProfileEdit::default()
        }
    }

    #[test]
    fn home_pages_have_a_scheme_that_readers_follow_and_a_host() {
        let longest = format!("https://example.org/{}", "x".repeat(MAX_LINE - 20));
        for good in [
            "https://example.org",
            "http://a/b?c#d",
            "gemini://x.y/",
            "gopher://x",
            "finger://u@x",
            &longest,
        ] {
            assert!(fields(&with_url(good)).is_empty(), "{good}");
        }
        let long = format!("{longest}x");
        for bad in [
            "",
            "example.org",
            "javascript:alert(1)",
            "https://",
            "gemini:///x",
            "mailto:a@b.c",
            "data:text/html,x",
            &long,
        ] {
            assert_eq!(fields(&with_url(bad)), ["url"], "{bad}");
        }
    }

    #[test]
    fn addresses_are_one_each() {
        for good in [
            "a@b",
            " a@example.org\t",
            "a+b@x.y",
            "\u{fc}@b\u{fc}cher.example",
        ] {
            assert!(fields(&with_email(good)).is_empty(), "{good}");
        }
        let long = format!("a@{}", "x".repeat(MAX_LINE));
        for bad in [
            "",
            " ",
            "a",
            "@",
            "a@",
            "@b",
            "a@b@c",
            "a b@c",
            "a@b\nBcc: c@d",
            "a@b,c@d",
            "A <a@b>",
            &long,
        ] {
            assert_eq!(fields(&with_email(bad)), ["email"], "{bad}");
        }
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let edit = ProfileEdit {
            url: Some(Some("x".to_owned())),
            location: Some(Some("x".repeat(MAX_LINE + 1))),
            bio: Some(Some("x\0".to_owned())),
            email: Some("x".to_owned()),
        };
        assert_eq!(fields(&edit), ["url", "location", "bio", "email"]);
        let clear = ProfileEdit {
            url: Some(None),
            location: Some(Some("x".repeat(MAX_LINE))),
            bio: Some(Some("x".repeat(MAX_BIO))),
            email: None,
        };
        assert!(fields(&clear).is_empty());
    }
}
