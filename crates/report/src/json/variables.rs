//! `${NAME}` in texts: what the environment holds under that name.
//! Promises that a name which is not set is a fault where it stands, and that what was put in is never shown by a report.
//! Leaves keys as they are, and what is below one key that the caller names.

use super::Reader;
use crate::report::Kind;

impl Reader<'_> {
    /// A text that stands between these two places, with its variables replaced. `$${` stands for `${`.
    pub(super) fn expanded(&mut self, text: String, start: usize) -> String {
        let Some(variables) = self.variables.filter(|_| text.contains("${")) else { return text };
        if self.path.split(['.', '[']).any(|key| key == variables.except) {
            return text;
        }
        let (mut whole, mut rest) = (String::new(), text.as_str());
        while let Some(at) = rest.find("${") {
            let before = &rest[..at];
            rest = &rest[at + 2..];
            if let Some(before) = before.strip_suffix('$') {
                whole.push_str(before);
                whole.push_str("${");
                continue;
            }
            whole.push_str(before);
            let name = rest.split_once('}').map(|(name, _)| name).filter(|name| is_name(name));
            let Some(name) = name else {
                let at = self.here(start, self.at);
                let message = format!("`${{` in `{}` begins no name of a variable", self.path);
                let help = "write ${NAME}, of letters, digits and _, or $${ for these two characters";
                self.report.add(Kind::BadVariable, &at, message, help);
                return text;
            };
            rest = &rest[name.len() + 1..];
            match (variables.of)(name) {
                Some(value) => {
                    self.report.hide_value(self.place(start, self.at), &value, name);
                    whole.push_str(&value);
                }
                None => {
                    let at = self.here(start, self.at);
                    let message = format!("the environment has no variable `{name}`");
                    let help =
                        "set it for the service in /etc/datalake/agent.env, or write $${ for these two characters";
                    self.report.add(Kind::BadVariable, &at, message, help);
                }
            }
        }
        whole + rest
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|first: char| first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
