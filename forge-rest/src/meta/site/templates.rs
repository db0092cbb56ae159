//! The pages' templates: ours, or what a host puts in their place.
//!
//! Invariant: what is put into a page is escaped for HTML. A template that cannot be read is an error when the forge is
//! built, not when its page is asked for.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use forge_core::{Error, Result};
use minijinja::{Environment, Value, context};
use sha2::{Digest as _, Sha256};

/// Ours, by name.
const BUILT_IN: [(&str, &str); 13] = [
    ("layout.html", include_str!("templates/layout.html")),
    ("message.html", include_str!("templates/message.html")),
    ("login.html", include_str!("templates/login.html")),
    ("consent.html", include_str!("templates/consent.html")),
    ("device.html", include_str!("templates/device.html")),
    ("account.html", include_str!("templates/account.html")),
    ("token.html", include_str!("templates/token.html")),
    ("token_form.html", include_str!("templates/token_form.html")),
    ("register.html", include_str!("templates/register.html")),
    ("secret.html", include_str!("templates/secret.html")),
    ("deletion.html", include_str!("templates/deletion.html")),
    ("confirm.html", include_str!("templates/confirm.html")),
    ("signed_in.html", include_str!("templates/signed_in.html")),
];
const STYLE: &str = include_str!("templates/style.css");

/// The templates of all pages, in the language of Jinja.
pub struct Templates {
    templates: Environment<'static>,
    style: String,
    style_hash: String,
}

impl fmt::Debug for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Templates")
    }
}

impl Templates {
    /// The built-in templates, but for those that are given by name, and the built-in style sheet unless one is given.
    ///
    /// # Errors
    /// [`Error::Invalid`] on field `template` for a name that no page has, or a text that cannot be read.
    pub fn new(own: &[(String, String)], style: Option<&str>) -> Result<Self> {
        let invalid =
            |name: &str, why: &str| Error::invalid("template", format!("template {name:?} {why}"));
        let mut templates = Environment::new();
        templates.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
        for (name, text) in BUILT_IN {
            templates
                .add_template(name, text)
                .map_err(Error::internal)?;
        }
        for (name, text) in own {
            if !BUILT_IN.iter().any(|(known, _)| known == name) {
                return Err(invalid(name, "is not one of the pages'"));
            }
            let added = templates.add_template_owned(name.clone(), text.clone());
            added.map_err(|error| invalid(name, &format!("cannot be read: {error}")))?;
        }
        let style = style.unwrap_or(STYLE).to_owned();
        let digest = STANDARD.encode(Sha256::digest(style.as_bytes()));
        Ok(Self {
            templates,
            style_hash: format!("sha256-{digest}"),
            style,
        })
    }

    /// What the policy calls the style sheet.
    pub(super) fn style_hash(&self) -> &str {
        &self.style_hash
    }

    pub(super) fn render(
        &self,
        name: &str,
        base: &str,
        values: Value,
    ) -> Result<String, minijinja::Error> {
        let style = Value::from_safe_string(self.style.clone());
        let shared = context! { style, base };
        self.templates
            .get_template(name)?
            .render(context! { ..shared, ..values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_into_a_page_is_escaped() {
        let templates = Templates::new(&[], None).expect("the built-in ones");
        let values = context! { title => "<b>", lines => vec!["a&b"] };
        let text = templates
            .render("message.html", "/meta", values)
            .expect("a page");
        assert!(
            text.contains("&lt;b&gt;") && text.contains("a&amp;b"),
            "{text}"
        );
        assert!(!text.contains("<b>"));
    }

    #[test]
    fn a_host_replaces_what_it_names_and_nothing_else() {
        let own = [("message.html".to_owned(), "{{ title }}!".to_owned())];
        let templates = Templates::new(&own, Some("p{}")).expect("good ones");
        let text = templates.render("message.html", "", context! { title => "x" });
        assert_eq!(text.expect("a page"), "x!");
        assert_eq!(templates.style, "p{}");
        for (name, text) in [("other.html", ""), ("message.html", "{% if %}")] {
            let own = [(name.to_owned(), text.to_owned())];
            assert!(Templates::new(&own, None).is_err(), "{name}");
        }
    }
}
