//! What is done with PGP keys.
