//! Git's packet lines: what a client asks to change, and what we add to the answer.

use crate::name::RefName;

/// The longest payload of one of our lines: what every side band takes.
const BAND_BYTES: usize = 990;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PacketError {
    #[error("a packet line is not readable")]
    Unreadable,
    #[error("a command of the push is not readable")]
    BadCommand,
    #[error("a push option holds control characters or is too long")]
    BadOption,
    #[error("the push changes more than {0} refs")]
    TooMany(usize),
}

/// How many refs one push may change.
pub(crate) const COMMANDS_MAX: usize = 1000;
const OPTIONS_MAX: usize = 20;
const OPTION_BYTES_MAX: usize = 1024;

/// One line: its payload, or a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    Flush,
    Data(&'a [u8]),
}

/// Takes the first line off. None where it is not all there yet.
pub(crate) fn next_line<'a>(rest: &mut &'a [u8]) -> Result<Option<Line<'a>>, PacketError> {
    let Some((head, behind)) = rest.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let head = std::str::from_utf8(head).map_err(|_| PacketError::Unreadable)?;
    let length = usize::from_str_radix(head, 16).map_err(|_| PacketError::Unreadable)?;
    match length {
        0 => {
            *rest = behind;
            Ok(Some(Line::Flush))
        }
        1..4 => Err(PacketError::Unreadable),
        _ => {
            let Some((data, behind)) = behind.split_at_checked(length - 4) else {
                return Ok(None);
            };
            *rest = behind;
            Ok(Some(Line::Data(data)))
        }
    }
}

/// One change that a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefCommand {
    pub before: String,
    pub after: String,
    /// As it came: it may be no good name.
    pub name: String,
}

/// The beginning of a push: everything before the pack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PushHead {
    pub commands: Vec<RefCommand>,
    pub capabilities: Vec<String>,
    pub options: Vec<String>,
}

impl PushHead {
    /// Reads it from the beginning of a body. None where it is not all there yet.
    pub(crate) fn read(body: &[u8]) -> Result<Option<Self>, PacketError> {
        let mut head = Self::default();
        let mut rest = body;
        loop {
            match next_line(&mut rest)? {
                None => return Ok(None),
                Some(Line::Flush) => break,
                Some(Line::Data(data)) => head.command(data)?,
            }
        }
        if head.has("push-options") {
            loop {
                match next_line(&mut rest)? {
                    None => return Ok(None),
                    Some(Line::Flush) => break,
                    Some(Line::Data(data)) => head.option(data)?,
                }
            }
        }
        Ok(Some(head))
    }

    pub(crate) fn has(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|own| own == capability)
    }

    fn command(&mut self, data: &[u8]) -> Result<(), PacketError> {
        let mut parts = data.splitn(2, |b| *b == 0);
        let command = parts.next().unwrap_or_default();
        if let Some(capabilities) = parts.next() {
            let text = String::from_utf8_lossy(capabilities);
            self.capabilities
                .extend(text.split_ascii_whitespace().map(str::to_owned));
        }
        let text = std::str::from_utf8(command)
            .map_err(|_| PacketError::BadCommand)?
            .trim_end_matches('\n');
        if text.starts_with("shallow ") {
            return Ok(());
        }
        let mut fields = text.splitn(3, ' ');
        let mut oid = || {
            fields
                .next()
                .filter(|oid| super::repository::is_oid(oid))
                .map(str::to_owned)
        };
        let (before, after) = (oid(), oid());
        let (Some(before), Some(after), Some(name)) = (before, after, fields.next()) else {
            return Err(PacketError::BadCommand);
        };
        if self.commands.len() >= COMMANDS_MAX {
            return Err(PacketError::TooMany(COMMANDS_MAX));
        }
        self.commands.push(RefCommand {
            before,
            after,
            name: name.to_owned(),
        });
        Ok(())
    }

    fn option(&mut self, data: &[u8]) -> Result<(), PacketError> {
        let text = std::str::from_utf8(data)
            .map_err(|_| PacketError::BadOption)?
            .trim_end_matches('\n');
        let bad = text.len() > OPTION_BYTES_MAX || text.chars().any(|c| c.is_control() || c == ';');
        if bad || self.options.len() >= OPTIONS_MAX {
            return Err(PacketError::BadOption);
        }
        self.options.push(text.to_owned());
        Ok(())
    }

    /// The commands whose refs we do not take, with the reason.
    pub(crate) fn refused(&self) -> Vec<(&RefCommand, String)> {
        let bad = |command: &RefCommand| RefName::parse(&command.name).err().map(|error| error.to_string());
        self.commands
            .iter()
            .filter_map(|command| Some((command, bad(command)?)))
            .collect()
    }
}

/// Writes one line.
pub(crate) fn write_line(out: &mut Vec<u8>, data: &[u8]) {
    out.extend_from_slice(format!("{:04x}", data.len() + 4).as_bytes());
    out.extend_from_slice(data);
}

/// Writes text for the person at the other end, line by line, as `remote: …`.
pub(crate) fn write_message(out: &mut Vec<u8>, text: &str) {
    for line in text.lines() {
        // File names and messages come from outside: nothing in them moves the cursor at the other end.
        let mut line: String = line
            .chars()
            .map(|c| if c.is_control() { '\u{fffd}' } else { c })
            .collect();
        line.push('\n');
        for part in line.as_bytes().chunks(BAND_BYTES) {
            let mut data = vec![2];
            data.extend_from_slice(part);
            write_line(out, &data);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "1111111111111111111111111111111111111111";
    const B: &str = "2222222222222222222222222222222222222222";

    fn body(lines: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in lines {
            if line.is_empty() {
                out.extend_from_slice(b"0000");
            } else {
                write_line(&mut out, line.as_bytes());
            }
        }
        out
    }

    #[test]
    fn the_head_of_a_push_is_read_when_it_is_whole() {
        let first = format!("{A} {B} refs/heads/main\0 report-status side-band-64k push-options");
        let mut bytes = body(&[&first, &format!("{A} {B} refs/heads/a b\n"), "", "ci.skip", ""]);
        for cut in 0..bytes.len() {
            assert_eq!(PushHead::read(&bytes[..cut]), Ok(None), "cut at {cut}");
        }
        bytes.extend_from_slice(b"PACK");
        let head = PushHead::read(&bytes).unwrap().unwrap();
        assert!(head.has("side-band-64k"));
        assert_eq!(head.options, ["ci.skip"]);
        assert_eq!(
            head.commands[0],
            RefCommand {
                before: A.into(),
                after: B.into(),
                name: "refs/heads/main".into()
            }
        );
        assert_eq!(head.refused().len(), 1);
    }

    #[test]
    fn hostile_heads_are_refused() {
        for (lines, expected) in [
            (vec!["x"], PacketError::BadCommand),
            (vec!["zz zz refs/heads/a"], PacketError::BadCommand),
            (vec![&*format!("{A} {B}")], PacketError::BadCommand),
            (
                vec![&*format!("{A} {B} r\0push-options"), "", "a\nb=c", ""],
                PacketError::BadOption,
            ),
            (
                vec![&*format!("{A} {B} r\0push-options"), "", "a;b", ""],
                PacketError::BadOption,
            ),
            (
                vec![&*format!("{A} {B} r\0push-options"), "", &"x".repeat(2000), ""],
                PacketError::BadOption,
            ),
        ] {
            assert_eq!(PushHead::read(&body(&lines)), Err(expected), "{lines:?}");
        }
        assert_eq!(PushHead::read(b"zzzz"), Err(PacketError::Unreadable));
        assert_eq!(PushHead::read(b"0003"), Err(PacketError::Unreadable));
    }

    #[test]
    fn messages_are_cut_to_what_a_band_takes() {
        let mut out = Vec::new();
        write_message(&mut out, &format!("{}\n\nend\u{1b}[1m", "x".repeat(2000)));
        let (mut rest, mut text) = (out.as_slice(), Vec::new());
        while let Ok(Some(Line::Data(data))) = next_line(&mut rest) {
            assert_eq!(data[0], 2);
            assert!(data.len() < 1000);
            text.extend_from_slice(&data[1..]);
        }
        assert_eq!(
            String::from_utf8(text).unwrap(),
            format!("{}\n\nend\u{fffd}[1m\n", "x".repeat(2000))
        );
    }
}
