//! What is done for other services.

mod endings;
mod scopes;
mod tokens;

pub use scopes::Wanted;
pub use tokens::Verified;
