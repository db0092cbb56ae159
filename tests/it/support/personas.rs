//! Who asks.

use chrono::TimeDelta;
use forge::access::Grants;

/// Somebody with a certain standing towards alice's repositories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persona {
    /// Shows nothing.
    Anon,
    /// Shows a token that was never issued.
    Forger,
    /// Shows a token that has expired.
    Expired,
    /// An account that is suspended.
    Suspended,
    /// Some account.
    Stranger,
    /// In the access list, RO.
    Reader,
    /// In the access list, RW.
    Writer,
    /// Alice, with a token for her profile alone.
    ProfileOnly,
    /// Alice, with a token that may read everything.
    ReadOnly,
    /// Alice, with a token that may do everything.
    Owner,
}

/// All of them; alice last, since she succeeds.
pub(crate) const PERSONAS: &[Persona] = &[
    Persona::Anon,
    Persona::Forger,
    Persona::Expired,
    Persona::Suspended,
    Persona::Stranger,
    Persona::Reader,
    Persona::Writer,
    Persona::ProfileOnly,
    Persona::ReadOnly,
    Persona::Owner,
];

impl Persona {
    pub(crate) fn user(self) -> Option<&'static str> {
        match self {
            Self::Anon | Self::Forger => None,
            Self::Suspended => Some("suspended"),
            Self::Stranger => Some("stranger"),
            Self::Reader => Some("reader"),
            Self::Writer => Some("writer"),
            Self::Expired | Self::ProfileOnly | Self::ReadOnly | Self::Owner => Some("alice"),
        }
    }

    pub(crate) fn grants(self) -> Grants {
        match self {
            Self::ProfileOnly => Grants::parse_oauth2("git.sr.ht/PROFILE:RO").unwrap(),
            Self::ReadOnly => Grants::parse_legacy("*:read").unwrap(),
            _ => Grants::everything(),
        }
    }

    pub(crate) fn lifetime(self) -> TimeDelta {
        if self == Self::Expired {
            TimeDelta::zero()
        } else {
            TimeDelta::days(366)
        }
    }
}
