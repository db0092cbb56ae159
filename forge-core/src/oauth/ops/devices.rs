//! What programs without a browser ask, and users answer (RFC 8628).

use chrono::TimeDelta;

use super::super::{Client, Device, DeviceState, NewDevice, Secret, SecretHash};
use super::Issued;
use crate::access::{Account, ActingClient, Grants};
use crate::clock::{Entropy, Timestamp};
use crate::sessions::neighbourhood;
use crate::{Error, Result};

/// How long a question waits for its answer.
const LIFE: TimeDelta = TimeDelta::minutes(15);
/// How many seconds a program waits between two looks, at first.
const INTERVAL: u32 = 5;
/// How many questions may come from one address in a quarter of an hour.
const QUESTIONS: u32 = 60;
/// By how much it has to wait longer if it looked too soon (RFC 8628 3.5).
const SLOWER: u32 = 5;
/// How many wrong codes a user may type in a quarter of an hour.
const WRONG_CODES: u32 = 20;
/// The letters of a user code: no vowels, so that no words come about (RFC 8628 6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// How many of them it has: 34 bits, for a quarter of an hour.
const CODE_LETTERS: usize = 8;

/// What a program is told that asks.
#[derive(Debug)]
pub struct Asked {
    /// What it looks for the answer with.
    pub device: Secret,
    /// What its user types, `BCDF-GHJK`.
    pub user_code: String,
    /// From when on the question is moot.
    pub expires: Timestamp,
    /// How many seconds it waits between two looks.
    pub interval: u32,
}

/// What a program finds that looks for the answer.
#[derive(Debug)]
pub enum Polled {
    /// There is no such question of its, or it was answered and told already.
    Unknown,
    /// Nobody has answered in time.
    Expired,
    /// No answer yet.
    Pending,
    /// No answer yet, and it looked too soon.
    SlowDown,
    /// The user said no.
    Denied,
    /// The user said yes.
    Approved(Issued),
}

impl ActingClient {
    /// Asks for an authorization. `None` if too many questions came from the same address lately.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn ask(&self, grants: &Grants) -> Result<Option<Asked>> {
        let forge = self.forge();
        if let Some(address) = self.address().map(neighbourhood) {
            let (attempts, now) = (forge.attempts(), forge.now());
            let name = format!("devices of {address}");
            if attempts.wait(&name, QUESTIONS, now).is_some() {
                return Ok(None);
            }
            attempts.fail(&name, now);
        }
        let device = Secret::generate("", forge.entropy())?;
        let user_code = user_code(forge.entropy())?;
        let new = NewDevice {
            client: self.client().id,
            grants: grants.clone(),
            expires: forge.now() + LIFE,
        };
        let mut tx = forge.store().begin().await?;
        tx.insert_device(&device.hash(), &hash_of(&user_code), &new, INTERVAL)
            .await?;
        tx.commit().await?;
        Ok(Some(Asked {
            device,
            user_code: as_shown(&user_code),
            expires: new.expires,
            interval: INTERVAL,
        }))
    }

    /// Looks for the answer.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the user is suspended.
    pub async fn poll(&self, device: &str) -> Result<Polled> {
        let forge = self.forge();
        let (hash, now) = (SecretHash::of(device), forge.now());
        let mut tx = forge.store().begin().await?;
        let Some(found) = tx.poll_device(&hash, now).await? else {
            return Ok(Polled::Unknown);
        };
        if found.asked.client != self.client().id {
            return Ok(Polled::Unknown);
        }
        if found.asked.expires <= now {
            return Ok(Polled::Expired);
        }
        let polled = match found.state {
            DeviceState::Pending => {
                let interval = TimeDelta::seconds(i64::from(found.interval));
                if found.polled.is_some_and(|last| now - last < interval) {
                    tx.slow_device(&hash, found.interval.saturating_add(SLOWER))
                        .await?;
                    Polled::SlowDown
                } else {
                    Polled::Pending
                }
            }
            DeviceState::Denied => {
                tx.take_device(&hash).await?;
                Polled::Denied
            }
            DeviceState::Approved(user, grants) => {
                if !tx.take_device(&hash).await? {
                    return Ok(Polled::Unknown);
                }
                let client = self.client().id;
                let authorization = tx.insert_authorization(user, client, &grants, now).await?;
                let standing = tx.user(user).await?;
                if standing.is_none_or(|user| user.suspended.is_some()) {
                    return Err(Error::forbidden("this account is suspended"));
                }
                let issued = self.insert(&mut *tx, &authorization, grants).await?;
                self.make_room(&mut *tx, &authorization).await?;
                Polled::Approved(issued)
            }
        };
        tx.commit().await?;
        Ok(polled)
    }
}

impl Account {
    /// The question of a user code, still to be answered, as people type it: in either case, with or without the dash.
    /// For pages.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none; [`Error::Forbidden`] to who has typed too many wrong ones.
    pub async fn device(&self, user_code: &str) -> Result<(Device, Client)> {
        self.require_session()?;
        let (attempts, now) = (self.forge().attempts(), self.forge().now());
        let name = format!("user codes of {}", self.user().id);
        if attempts.wait(&name, WRONG_CODES, now).is_some() {
            let reason = "too many wrong codes: try again in a quarter of an hour";
            return Err(Error::forbidden(reason));
        }
        let (store, code) = (self.forge().store(), hash_of(user_code));
        let open = store.device_by_user_code(&code, now).await?;
        if let Some((device, client)) = open
            && let Some(client) = self.forge().in_force(Some(client)).await?
        {
            return Ok((device, client));
        }
        attempts.fail(&name, now);
        Err(Error::NotFound)
    }

    /// Answers: `None` for no, or what the client may do. For pages.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such question any more; [`Error::Forbidden`] for more than was asked.
    pub async fn answer_device(&self, user_code: &str, grants: Option<Grants>) -> Result<()> {
        let (device, client) = self.device(user_code).await?;
        let answer = match grants {
            None => DeviceState::Denied,
            Some(grants) if device.asked.grants.cover(&grants) => {
                DeviceState::Approved(self.user().id, grants)
            }
            Some(_) => return Err(Error::forbidden("this is more than was asked for")),
        };
        let mut tx = self.begin().await?;
        let now = self.forge().now();
        if !tx.answer_device(&hash_of(user_code), &answer, now).await? {
            return Err(Error::NotFound);
        }
        if matches!(answer, DeviceState::Approved(..)) {
            self.note(&mut *tx, "OAuth 2.0 access grant issued", client.in_log())
                .await?;
        }
        tx.commit().await
    }
}

/// A user code, without the dash.
fn user_code(entropy: &dyn Entropy) -> Result<String> {
    let mut code = String::new();
    let mut random = [0; 1];
    while code.len() < CODE_LETTERS {
        entropy.fill(&mut random)?;
        // 240 is the last multiple of 20 in a byte: beyond it, some letters would come more often.
        if let [byte @ 0..240] = random {
            code.push(char::from(LETTERS[usize::from(byte) % LETTERS.len()]));
        }
    }
    Ok(code)
}

/// The hash of a user code as it is typed.
fn hash_of(user_code: &str) -> SecretHash {
    SecretHash::of(&letters(user_code))
}

fn letters(typed: &str) -> String {
    let letters = typed.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|c| c.to_ascii_uppercase()).collect()
}

/// A user code as the device shows it, `BCDF-GHJK`, however it was typed.
#[must_use]
pub fn as_shown(typed: &str) -> String {
    let letters = letters(typed);
    match letters.split_at_checked(CODE_LETTERS / 2) {
        Some((first, second)) if !second.is_empty() => format!("{first}-{second}"),
        _ => letters,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_code_is_shown_as_the_device_shows_it() {
        for typed in ["BCDF-GHJK", "bcdfghjk", " bcdf ghjk "] {
            assert_eq!(as_shown(typed), "BCDF-GHJK");
            assert_eq!(hash_of(typed), hash_of("BCDFGHJK"));
        }
        assert_eq!(as_shown("bc"), "BC");
        assert_eq!(as_shown("\u{e9}"), "");
    }
}
