//! Push options: `key=value`, or `key` alone, as `git push -o` sends them.
//!
//! Invariant: of two options with one key the last one counts. `description` and `visibility` are git.sr.ht's; which of
//! them a pusher may use is decided when the push is finished. What is not known is kept for plugins.

use serde::{Deserialize, Serialize};

use crate::repos::RepoChange;
use crate::{Error, Result};

/// What a client said with `git push -o`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PushOptions(Vec<String>);

impl PushOptions {
    /// As they came.
    #[must_use]
    pub fn new(options: Vec<String>) -> Self {
        Self(options)
    }

    /// Each with its value, in their order; an option without one has an empty value.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|option| option.split_once('=').unwrap_or((option, "")))
    }

    /// The value of an option.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter()
            .rev()
            .find_map(|(found, value)| (found == key).then_some(value))
    }

    /// What they change of the repository; `None` if nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`] for field `description` or `visibility`.
    pub(crate) fn change(&self) -> Result<Option<RepoChange>> {
        let description = self.get("description").map(str::trim);
        let visibility = self.get("visibility").map(str::parse).transpose()?;
        if description.is_none() && visibility.is_none() {
            return Ok(None);
        }
        if description.is_some_and(|text| text.chars().any(char::is_control)) {
            let reason = "description may not hold control characters";
            return Err(Error::invalid("description", reason));
        }
        Ok(Some(RepoChange {
            description: description.map(|text| Some(text.to_owned()).filter(|t| !t.is_empty())),
            visibility,
            ..RepoChange::default()
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repos::Visibility;

    fn options(all: &[&str]) -> PushOptions {
        PushOptions::new(all.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_last_of_two_counts() {
        let options = options(&["debug", "visibility=public", "a=b=c", "visibility=PRIVATE"]);
        assert_eq!(options.get("debug"), Some(""));
        assert_eq!(options.get("a"), Some("b=c"));
        assert_eq!(options.get("b"), None);
        let change = options.change().expect("good options").expect("a change");
        assert_eq!(change.visibility, Some(Visibility::Private));
        assert_eq!(change.description, None);
    }

    #[test]
    fn an_empty_description_is_none_and_a_bad_visibility_is_refused() {
        let change = options(&["description= "]).change();
        assert_eq!(
            change.expect("good options").expect("a change").description,
            Some(None)
        );
        assert!(options(&["visibility=secret"]).change().is_err());
        assert!(options(&["description=a\x1b[31m"]).change().is_err());
        assert_eq!(options(&["skip-ci"]).change().expect("fine"), None);
    }
}
