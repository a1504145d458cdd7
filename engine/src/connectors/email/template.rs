//! Mails from templates.

use std::path::Path;

use headwater_operators::{Attempt, Failure};
use minijinja::value::{Serde, Value};
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use super::{Email, Smtp, Stamp};
use crate::{Connector, Error, Result};

/// Names of the parts. What ends in `.html` is escaped.
const TO: &str = "to";
const SUBJECT: &str = "subject";
const TEXT: &str = "text";
const HTML: &str = "html.html";

/// A mail with gaps, `{{ user }}`, which the fields of an item fill. It is written in the language of
/// [Jinja](https://docs.rs/minijinja/latest/minijinja/syntax/): `{% if %}`, `{% for %}`, filters. In HTML everything that
/// comes from the item is escaped.
///
/// ```
/// use headwater::connectors::email::EmailTemplate;
///
/// let template = EmailTemplate::new("{{ count }} payments", "Dear {{ user }}, that was payment {{ count }} today.")
///     .to("{{ address }}")
///     .html("<p>Dear {{ user }}, that was payment <b>{{ count }}</b> today.</p>");
///
/// let item = serde_json::json!({"user": "A & B", "address": "ab@example.org", "count": 11});
/// let mail = template.render(&item).unwrap();
/// assert_eq!(mail.subject, "11 payments");
/// assert_eq!(mail.text, "Dear A & B, that was payment 11 today.");
/// assert_eq!(mail.html.unwrap(), "<p>Dear A &amp; B, that was payment <b>11</b> today.</p>");
/// ```
pub struct EmailTemplate {
    parts: Environment<'static>,
    /// What was wrong first, said by `check`.
    mistake: Option<String>,
}

impl EmailTemplate {
    /// With these templates of the subject and the text.
    pub fn new(subject: impl Into<String>, text: impl Into<String>) -> Self {
        let mut parts = Environment::new();
        // A gap that nothing fills is a mistake, not a blank.
        parts.set_undefined_behavior(UndefinedBehavior::Strict);
        Self { parts, mistake: None }.part(SUBJECT, subject.into()).part(TEXT, text.into())
    }

    /// With the templates in `PATH.subject`, `PATH.txt` and, if there is one, `PATH.html`.
    pub fn files(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let mut mistake = None;
        let mut read = |ending: &str| {
            let file = path.with_added_extension(ending);
            std::fs::read_to_string(&file).unwrap_or_else(|error| {
                mistake.get_or_insert(format!("the template {} cannot be read: {error}", file.display()));
                String::new()
            })
        };
        let mut template = Self::new(read("subject"), read("txt"));
        if path.with_added_extension("html").exists() {
            template = template.html(read("html"));
        }
        template.mistake = mistake.or(template.mistake);
        template
    }

    /// Who it is to: `{{ address }}`, or several with commas between them.
    #[must_use]
    pub fn to(self, to: impl Into<String>) -> Self {
        self.part(TO, to.into())
    }

    /// The mail as HTML, too.
    #[must_use]
    pub fn html(self, html: impl Into<String>) -> Self {
        self.part(HTML, html.into())
    }

    fn part(mut self, name: &'static str, source: String) -> Self {
        if let Err(error) = self.parts.add_template_owned(name, source) {
            self.mistake.get_or_insert(format!("the template of a mail is wrong: {error}"));
        }
        self
    }

    /// Whether its parts can be read, and somebody is to get it.
    ///
    /// # Errors
    /// `Config` where not.
    pub fn check(&self) -> Result<()> {
        match &self.mistake {
            Some(mistake) => Err(Error::config(mistake)),
            None if self.parts.get_template(TO).is_err() => {
                Err(Error::config("the template of a mail is to nobody: say who it is to with `EmailTemplate::to`"))
            }
            None => Ok(()),
        }
    }

    /// Fills it.
    ///
    /// # Errors
    /// Permanent, where the item has no such field, say.
    pub fn render(&self, item: &impl Serialize) -> Result<Email, Failure> {
        let item = Value::from(Serde(item));
        let part = |name| {
            let rendered = self.parts.get_template(name).and_then(|template| template.render(item.clone()));
            rendered
                .map_err(|error| Failure::permanent("the template cannot be filled with this item").caused_by(&error))
        };
        let html = self.parts.get_template(HTML).is_ok().then(|| part(HTML)).transpose()?;
        let to = part(TO)?;
        Ok(Email {
            to: to.split(',').map(str::trim).filter(|to| !to.is_empty()).map(str::to_owned).collect(),
            subject: part(SUBJECT)?.trim().to_owned(),
            text: part(TEXT)?,
            html,
            ..Email::default()
        })
    }
}

/// A mail server that makes its mails from items by a template: [`Smtp::template`].
pub struct Templated {
    pub(super) smtp: Smtp,
    pub(super) template: EmailTemplate,
}

impl<T: Serialize + Send + Sync> Connector<T> for Templated {
    fn describe(&self) -> String {
        self.smtp.address()
    }

    fn check(&self) -> Result<()> {
        self.template.check()?;
        self.smtp.check_options()
    }

    async fn deliver(&self, attempt: &Attempt<T>) -> Result<(), Failure> {
        let email = self.template.render(&attempt.item)?;
        self.smtp.send(&email, Stamp::of(attempt)).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_template_goes_to_several() {
        let template =
            EmailTemplate::new("s\n", "{% for l in lines %}{{ l }};{% endfor %}").to("{{ to }}, b@example.org");
        let mail = template.render(&json!({"to": "a@example.org", "lines": [1, 2]})).unwrap();
        assert_eq!((mail.to.len(), mail.subject.as_str(), mail.text.as_str()), (2, "s", "1;2;"));
        assert_eq!(mail.html, None);
    }

    #[test]
    fn a_wrong_template_is_told_before_anything_runs() {
        let wrong = EmailTemplate::new("{{ a", "t").to("a@example.org").check().unwrap_err().to_string();
        assert!(
            wrong.starts_with("the template of a mail is wrong: syntax error: ") && wrong.contains("subject"),
            "{wrong}"
        );
        let nobody = EmailTemplate::new("s", "t").check().unwrap_err().to_string();
        assert!(nobody.contains("EmailTemplate::to"), "{nobody}");
    }

    #[test]
    fn an_item_without_the_field_is_refused_for_good() {
        let failure = EmailTemplate::new("s", "{{ user }}").to("a@example.org").render(&json!({})).unwrap_err();
        assert_eq!(failure.kind, headwater_operators::FailureKind::Permanent);
        assert!(failure.to_string().contains("undefined value") && failure.to_string().contains("text"), "{failure}");
    }

    #[test]
    fn templates_come_from_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("limit.v2");
        assert!(
            EmailTemplate::files(&path).check().unwrap_err().to_string().contains("limit.v2.subject cannot be read")
        );
        for (ending, text) in [("subject", "{{ n }}\n"), ("txt", "t"), ("html", "<b>{{ n }}</b>")] {
            std::fs::write(folder.path().join(format!("limit.v2.{ending}")), text).unwrap();
        }
        let mail = EmailTemplate::files(&path).to("a@example.org").render(&json!({"n": "<"})).unwrap();
        assert_eq!((mail.subject.as_str(), mail.html.as_deref()), ("<", Some("<b>&lt;</b>")));
    }
}
