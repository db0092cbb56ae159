//! What is done with the account's log.
