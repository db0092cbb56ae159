//! Applications that act for users, and the tokens that they and users' own programs show (RFC 6749; SourceHut's older
//! scheme beside it).
//!
//! Invariant: whatever is shown as proof (a token, a code, a client's secret) is stored as its hash. A code, a refresh
//! token and a device code work once. What an authorization covers never grows.
//! Requests and their parameters are not known here; `forge-rest` reads them.

mod clients;
mod codes;
mod devices;
mod ops;
mod secret;
mod store;

pub use clients::{Client, ClientId, ClientKind, NewClient};
pub use codes::{Code, NewCode, Redeemed};
pub use devices::{Device, DeviceState, NewDevice};
pub use ops::{Asked, Consent, Found, Issued, OUT_OF_BAND, Polled, as_shown};
pub use secret::{Secret, SecretHash};
pub use store::{OauthReads, OauthWrites};

use crate::access::Grants;
use crate::clock::Timestamp;
use crate::ids::{AuthorizationId, ClientRow, TokenId, UserId};

/// A token, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Row number.
    pub id: TokenId,
    /// Whose it is.
    pub user: UserId,
    /// When it was made.
    pub issued: Timestamp,
    /// From when on it means nobody.
    pub expires: Timestamp,
    /// When it was last shown; told to the hour. `None` if never.
    pub last_used: Option<Timestamp>,
    /// What it may do.
    pub grants: Grants,
    /// What its owner calls it.
    pub comment: Option<String>,
    /// The first digits of its text, by which its owner tells it.
    pub hint: String,
    /// Whether it is of the older scheme.
    pub is_legacy: bool,
    /// Under what a client got it; `None` for a personal token.
    pub authorization: Option<AuthorizationId>,
}

/// A token to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// What it may do.
    pub grants: Grants,
    /// What its owner calls it.
    pub comment: Option<String>,
    /// From when on it means nobody.
    pub expires: Timestamp,
}

/// Where a token comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenOrigin {
    /// The first digits of its text.
    pub hint: String,
    /// Whether it is of the older scheme.
    pub is_legacy: bool,
    /// Under what a client gets it; `None` for a personal token.
    pub authorization: Option<AuthorizationId>,
}

/// What a user has let a client do: the end of it is the end of all its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// Row number.
    pub id: AuthorizationId,
    /// Who let it.
    pub user: UserId,
    /// Whom.
    pub client: ClientRow,
    /// What, at most.
    pub grants: Grants,
    /// When.
    pub created: Timestamp,
    /// When it was ended, by the user, the client or an abuse; `None` while it holds.
    pub ended: Option<Timestamp>,
}

/// A refresh token, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshToken {
    /// What it belongs to, ended or not.
    pub authorization: Authorization,
    /// From when on it is worth nothing.
    pub expires: Timestamp,
    /// Whether it was spent.
    pub is_spent: bool,
}

/// A refresh token that was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refreshed {
    /// It is none, has expired, or its authorization has ended.
    Unknown,
    /// It was spent before: whoever shows it now, or did then, is not the client (RFC 9700 4.14.2).
    Reused(AuthorizationId),
    /// It is spent now.
    Spent(Authorization),
}
