//! Smart HTTP.

use forge_core::http::Routes;

use crate::transport::Transport;

impl Transport {
    /// The routes.
    #[must_use]
    pub fn http(&self) -> Routes {
        todo!()
    }
}
