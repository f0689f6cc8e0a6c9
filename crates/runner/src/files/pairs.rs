//! `name=value` and `name<<DELIMITER` … `DELIMITER`.

pub(super) type Pairs = Vec<(String, String)>;
/// A line's number from 1, and what is wrong with it.
pub(super) type Fault = (usize, String);

/// The pairs up to the first fault, and the fault.
pub(super) fn parse(text: &str) -> (Pairs, Option<Fault>) {
    let mut pairs = Vec::new();
    let mut lines = text.split_inclusive('\n').enumerate();
    while let Some((index, raw)) = lines.next() {
        let line = without_end(raw);
        if line.is_empty() {
            continue;
        }
        let fault = |message: String| Some((index + 1, message));
        let (equals, heredoc) = (line.find('='), line.find("<<"));
        // Whichever comes first decides, as on GitHub: `a=b<<c` is a value, `a<<b=c` a delimiter.
        let is_heredoc = heredoc.is_some_and(|h| equals.is_none_or(|e| h < e));
        if !is_heredoc {
            match line.split_once('=') {
                Some(("", _)) => return (pairs, fault(format!("`{}` has no name before `=`", short(line)))),
                Some((name, value)) => pairs.push((name.to_owned(), value.to_owned())),
                None => {
                    return (
                        pairs,
                        fault(format!(
                            "`{}` is neither `name=value` nor `name<<DELIMITER`",
                            short(line)
                        )),
                    );
                }
            }
            continue;
        }
        let (name, delimiter) = line.split_once("<<").unwrap_or((line, ""));
        if name.is_empty() || delimiter.is_empty() {
            return (
                pairs,
                fault(format!(
                    "`{}` needs a name before `<<` and a delimiter after it",
                    short(line)
                )),
            );
        }
        let mut value = String::new();
        loop {
            match lines.next() {
                None => {
                    return (
                        pairs,
                        fault(format!(
                            "the delimiter `{}` does not come again",
                            short(delimiter)
                        )),
                    );
                }
                Some((_, raw)) if without_end(raw) == delimiter => break,
                Some((_, raw)) => value.push_str(raw),
            }
        }
        pairs.push((name.to_owned(), without_end(&value).to_owned()));
    }
    (pairs, None)
}

fn without_end(line: &str) -> &str {
    let line = line.strip_suffix('\n').unwrap_or(line);
    line.strip_suffix('\r').unwrap_or(line)
}

/// Enough to find the line by; a value may be a secret or a megabyte.
fn short(line: &str) -> String {
    const CHARS_MAX: usize = 40;
    if line.chars().count() <= CHARS_MAX {
        line.to_owned()
    } else {
        line.chars().take(CHARS_MAX).chain(['…']).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, pairs: &[(&str, &str)], fault: Option<(usize, &str)>) {
        let (found, at) = parse(text);
        let found: Vec<_> = found.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(found, pairs, "{text:?}");
        match (at, fault) {
            (None, None) => {}
            (Some((line, message)), Some((expected, part))) => {
                assert_eq!(line, expected, "{text:?}");
                assert!(message.contains(part), "{text:?}: {message}");
            }
            (at, _) => panic!("{text:?}: {at:?}, expected {fault:?}"),
        }
    }

    #[test]
    fn pairs_and_faults() {
        check("", &[], None);
        check("a=1\nb=2", &[("a", "1"), ("b", "2")], None);
        check("a=1\r\n\r\nb=\r\n", &[("a", "1"), ("b", "")], None);
        check("a==x=", &[("a", "=x=")], None);
        check("a b = c ", &[("a b ", " c ")], None);
        check("a=b<<c\n", &[("a", "b<<c")], None);
        check("a<<E\none\ntwo\nE\nb=3\n", &[("a", "one\ntwo"), ("b", "3")], None);
        check("a<<E\r\none\r\ntwo\r\nE\r\n", &[("a", "one\r\ntwo")], None);
        check("a<<E\nE\n", &[("a", "")], None);
        check("a<<E\n\nE\n", &[("a", "")], None);
        check("a<<E\nx=1\n E\nE", &[("a", "x=1\n E")], None);
        check("a<<b=c\nx\nb=c\n", &[("a", "x")], None);
        check("a=1\nnonsense\nb=2", &[("a", "1")], Some((2, "`nonsense`")));
        check("a=1\n=2", &[("a", "1")], Some((2, "no name")));
        check(
            "x=1\n\na<<E\none\n",
            &[("x", "1")],
            Some((3, "`E` does not come again")),
        );
        check("<<E\nE\n", &[], Some((1, "needs a name")));
        check("a<<\n", &[], Some((1, "a delimiter")));
    }
}
