//! SourceHut's GraphQL services, git and meta. A skeleton: nothing is served yet.
//!
//! What will be here, file by file: the `@access` directives and their guard, which asks the [`Caller`]
//! (`access.rs`); per-request loaders over the batched reads (`loaders.rs`); and a file for each noun's types, queries
//! and mutations below `git/` and `meta/`. Until then the facade does not claim `/query`.
//!
//! [`Caller`]: forge_core::Caller
