//! What is done with clients and tokens.

mod authorizations;
mod clients;
mod devices;
mod tokens;

pub use authorizations::{Consent, Found, Issued};
pub use clients::OUT_OF_BAND;
pub use devices::{Asked, Polled, as_shown};
