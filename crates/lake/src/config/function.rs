//! The Lambda function that stands for a program on AWS, as lake.json names it: a name, or an ARN.
//! Promises that what is taken names exactly one function, so that the right to call it can be given for it alone.
//! Leaves calling it to the reactions on AWS.

use datalake_report::report::{At, Kind, Report, quoted};

/// A function waits no longer for another one: its own time ends after 15 minutes.
pub(super) const LONGEST_WAIT: u64 = 840;

/// A function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// As it stands in the file: `farm-low`, `farm-low:live`, or a whole ARN.
    pub text: String,
    /// Where that stands.
    pub at: At,
}

impl Function {
    pub(super) fn parse(text: String, at: At, report: &mut Report) -> Option<Self> {
        let function = Self { text, at };
        let name = if function.is_arn() { function.named_by_arn() } else { Some(function.text.as_str()) };
        if name.is_some_and(is_name) {
            return Some(function);
        }
        let message = format!("`{}` is {}, which names no function", function.at.path, quoted(&function.text));
        let help =
            "write its name, such as \"farm-low\", or its ARN: \"arn:aws:lambda:REGION:ACCOUNT:function:farm-low\"";
        report.add(Kind::BadName, &function.at, message, help);
        None
    }

    /// Whether it names account and region too.
    #[must_use]
    pub fn is_arn(&self) -> bool {
        self.text.starts_with("arn:")
    }

    /// What stands behind `function:`, if the ARN is one of a function.
    fn named_by_arn(&self) -> Option<&str> {
        let mut parts = self.text.splitn(7, ':');
        let mut next = || parts.next().unwrap_or_default();
        let (_, partition, service, region, account, kind, name) =
            (next(), next(), next(), next(), next(), next(), next());
        let plain = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-' || byte.is_ascii_digit())
        };
        let good = partition.starts_with("aws")
            && plain(partition)
            && plain(region)
            && service == "lambda"
            && kind == "function"
            && account.len() == 12
            && account.bytes().all(|byte| byte.is_ascii_digit());
        good.then_some(name)
    }

    /// Without account, region and version.
    #[must_use]
    pub fn name(&self) -> &str {
        let name = self.named_by_arn().unwrap_or(&self.text);
        name.split(':').next().unwrap_or_default()
    }

    /// The region that its ARN names.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        if self.is_arn() { self.text.split(':').nth(3) } else { None }
    }
}

/// `farm-low`, or with a version or alias behind it.
fn is_name(text: &str) -> bool {
    let (name, qualifier) = text.split_once(':').map_or((text, None), |(name, qualifier)| (name, Some(qualifier)));
    let good = |text: &str, longest: usize| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !text.is_empty() && text.len() <= longest && text.bytes().all(known)
    };
    good(name, 64) && qualifier.is_none_or(|qualifier| qualifier == "$LATEST" || good(qualifier, 128))
}
