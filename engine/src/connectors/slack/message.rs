//! What is posted.

use headwater_operators::{Alert, AlertStatus, Failure, Severity};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::super::http::shortened;

/// Slack cuts a longer text; some of those that do as Slack refuse it.
const TEXT_CHARS: usize = 40_000;
/// More make a message that nobody reads, and Slack refuses it at 100.
const FIELDS: usize = 20;

const RESOLVED: &str = "#2eb67d";

/// A message. What it holds is Slack's: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/>.
///
/// ```
/// use headwater::connectors::SlackMessage;
/// use serde_json::json;
///
/// let greeting = SlackMessage::escaped("R&D says <hello>");
/// assert_eq!(greeting.text, "R&amp;D says &lt;hello&gt;");
/// let blocks = json!([{"type": "section", "text": {"type": "mrkdwn", "text": "*It works*"}}]);
/// let message = SlackMessage::text("It works").blocks(&blocks);
/// assert_eq!(message.blocks.unwrap(), blocks.to_string());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlackMessage {
    /// The message in Slack's Markdown, or what stands in a notification where there are blocks.
    pub text: String,
    /// A JSON list of blocks, as text.
    pub blocks: Option<String>,
    /// What stands beneath, beside a line in colour.
    pub attachments: Vec<SlackAttachment>,
}

/// A part of a message with a line in colour beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlackAttachment {
    /// `#2eb67d`.
    pub color: String,
    /// What stands in a notification.
    pub fallback: String,
    /// In bold.
    pub title: String,
    /// In Slack's Markdown.
    pub text: String,
    /// A table beneath.
    pub fields: Vec<SlackField>,
    /// When it was, in seconds since 1970.
    pub ts: Option<i64>,
}

/// A name and a value in an attachment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlackField {
    /// The name.
    pub title: String,
    /// The value.
    pub value: String,
    /// Whether two fit beside each other.
    pub short: bool,
}

impl SlackMessage {
    /// A text in Slack's Markdown, in which `<!channel>` calls everybody.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// A text from anywhere: `<`, `>` and `&` in it mean nothing.
    pub fn escaped(text: &str) -> Self {
        Self::text(escape(text))
    }

    /// The same with blocks, of which Slack takes up to 50.
    #[must_use]
    pub fn blocks(mut self, blocks: &Value) -> Self {
        self.blocks = Some(blocks.to_string());
        self
    }

    /// The same with another attachment.
    #[must_use]
    pub fn attachment(mut self, attachment: SlackAttachment) -> Self {
        self.attachments.push(attachment);
        self
    }

    /// As it is posted: without what is empty, which Slack refuses here and there.
    pub(super) fn into_body(self) -> Result<Map<String, Value>, Failure> {
        let mut body = Map::new();
        if !self.text.is_empty() {
            body.insert("text".to_owned(), json!(shortened(&self.text, TEXT_CHARS)));
        }
        if let Some(blocks) = &self.blocks {
            let blocks: Vec<Value> = serde_json::from_str(blocks)
                .map_err(|error| Failure::permanent("the message's blocks are no JSON list").caused_by(&error))?;
            body.insert("blocks".to_owned(), Value::Array(blocks));
        }
        if !self.attachments.is_empty() {
            let attachments = self.attachments.into_iter().map(SlackAttachment::into_body).collect();
            body.insert("attachments".to_owned(), Value::Array(attachments));
        }
        if body.is_empty() {
            return Err(Failure::permanent("the message is empty"));
        }
        Ok(body)
    }
}

impl SlackAttachment {
    fn into_body(self) -> Value {
        let mut body = Map::new();
        let texts = [("color", self.color), ("fallback", self.fallback), ("title", self.title), ("text", self.text)];
        for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            body.insert(name.to_owned(), Value::String(shortened(&text, TEXT_CHARS)));
        }
        if !self.fields.is_empty() {
            body.insert("fields".to_owned(), json!(self.fields));
        }
        if let Some(ts) = self.ts {
            body.insert("ts".to_owned(), json!(ts));
        }
        Value::Object(body)
    }
}

impl From<&SlackMessage> for SlackMessage {
    fn from(message: &SlackMessage) -> Self {
        message.clone()
    }
}

impl From<&String> for SlackMessage {
    /// The text in Slack's Markdown.
    fn from(text: &String) -> Self {
        Self::text(text)
    }
}

impl From<&Alert> for SlackMessage {
    /// Severity and name, the summary, the annotations, the labels; in the severity's colour, or green when it is over.
    fn from(alert: &Alert) -> Self {
        let over = alert.status == AlertStatus::Resolved;
        let word = if over { "RESOLVED".to_owned() } else { alert.severity.as_str().to_uppercase() };
        let title = format!("[{word}] {}", alert.name);
        let annotations =
            alert.annotations.iter().map(|(name, value)| format!("\n*{}:* {}", escape(name), escape(value)));
        let text = escape(&alert.summary) + &annotations.collect::<String>();
        let field = |(name, value): (&String, &String)| SlackField {
            title: escape(name),
            value: escape(value),
            short: value.len() <= 40,
        };
        Self::default().attachment(SlackAttachment {
            color: if over { RESOLVED } else { color(alert.severity) }.to_owned(),
            fallback: escape(&format!("{title}: {}", alert.summary)),
            title: escape(&title),
            text,
            fields: alert.labels.iter().take(FIELDS).map(field).collect(),
            ts: Some(alert.ends_at.unwrap_or(alert.starts_at).as_seconds()),
        })
    }
}

fn color(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "#3b82f6",
        Severity::Warning => "#ecb22e",
        Severity::Error => "#e8793a",
        Severity::Critical => "#d7263d",
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
