//! The name of a project, `owner/name`.

use super::ClientError;
use std::fmt;
use std::str::FromStr;

/// `owner/name`, both fit to stand in an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectName {
    pub owner: String,
    pub name: String,
}

impl FromStr for ProjectName {
    type Err = ClientError;

    fn from_str(text: &str) -> Result<Self, ClientError> {
        let fits = |part: &str| {
            !part.is_empty()
                && part.len() <= 100
                && !matches!(part, "." | "..")
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        };
        match text.split_once('/') {
            Some((owner, name)) if fits(owner) && fits(name) => Ok(Self {
                owner: owner.to_owned(),
                name: name.to_owned(),
            }),
            _ => Err(ClientError::Name(text.to_owned())),
        }
    }
}

impl fmt::Display for ProjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_owner_and_name() {
        let check = |text: &str, good: bool| assert_eq!(text.parse::<ProjectName>().is_ok(), good, "{text}");
        check("omni/life", true);
        check("o.m-n_i/life.js", true);
        check("omni", false);
        check("omni/", false);
        check("omni/..", false);
        check("omni/life/more", false);
        check("om ni/life", false);
    }
}
