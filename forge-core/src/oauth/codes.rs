//! Authorization codes: what a browser carries from the user's consent to the client (RFC 6749 4.1.2).
//!
//! Invariant: a code works once, for the client it was made for. A second use is told from a code that never was, so
//! that what the first one gave can be taken back.

use super::Authorization;
use crate::access::Grants;
use crate::clock::Timestamp;
use crate::ids::{AuthorizationId, ClientRow, UserId};

/// A code to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCode {
    /// For whom.
    pub client: ClientRow,
    /// Who consented.
    pub user: UserId,
    /// To what.
    pub grants: Grants,
    /// The redirect URI that the request named; the exchange must repeat it. `None` if it named none.
    pub redirect_uri: Option<String>,
    /// What binds it to whoever asked for it, in a form that only `forge-rest` knows (RFC 7636).
    pub challenge: Option<String>,
    /// From when on it is worth nothing.
    pub expires: Timestamp,
}

/// A code that was redeemed, and the authorization that came into force with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// The code as it was stored.
    pub code: NewCode,
    /// What the user has let the client do.
    pub authorization: Authorization,
}

/// What became of a code that was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redeemed {
    /// It is none, or has expired.
    Unknown,
    /// It was used before, and led to this authorization.
    Reused(AuthorizationId),
    /// It is used up now.
    Fresh(Box<Code>),
}
