//! The forms in which a secret turns up in the output of programs: quoted, escaped or encoded.
//!
//! Owns the table of encoders. Follows `HostContext` of GitHub's runner (base64 at three offsets, command line,
//! expression, JSON, URI, XML, double quotes, PowerShell) and adds hexadecimal, shell quoting and wrapped base64.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use std::fmt::Write as _;

/// A shorter encoded form (four characters of base64 say little) would hide innocent text.
const ENCODED_CHARS_MIN: usize = 4;
/// A line of a secret that is shorter, such as a brace of a JSON secret, is only masked within the whole.
const LINE_CHARS_MIN: usize = 3;
/// Of a secret of more lines only the plain lines are masked, or the search would grow without a bound.
const ENCODED_LINES_MAX: usize = 256;
/// GitHub's PowerShell rule leaves shorter parts alone.
const POWERSHELL_PART_CHARS_MIN: usize = 6;

type Encoder = fn(&str) -> Vec<String>;

const ENCODERS: &[Encoder] = &[
    base64_forms,
    hex_forms,
    uri_forms,
    json_forms,
    command_line_forms,
    shell_forms,
    xml_forms,
    expression_forms,
    unquoted_forms,
    power_shell_forms,
];

/// Every form of the secret, the plain one first; empty where the secret is none.
pub(super) fn of(secret: &str) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    let secret = secret.trim();
    add_value(secret, true, &mut forms);
    let lines: Vec<&str> = secret
        .split(['\n', '\r'])
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    if secret.contains(['\n', '\r']) {
        let encode = lines.len() <= ENCODED_LINES_MAX;
        for line in lines.iter().filter(|l| l.chars().count() >= LINE_CHARS_MIN) {
            add_value(line, encode, &mut forms);
        }
        // What a program that splits at `\n` alone, or joins with the other line end, would print.
        add_value(&lines.join("\n"), false, &mut forms);
        add_value(&lines.join("\r\n"), false, &mut forms);
    }
    forms
}

fn add_value(value: &str, encode: bool, forms: &mut Vec<Vec<u8>>) {
    if value.chars().count() < 2 {
        return;
    }
    forms.push(value.as_bytes().to_vec());
    if encode {
        forms.extend(
            ENCODERS
                .iter()
                .flat_map(|encoder| encoder(value))
                .filter(|f| !f.is_empty())
                .map(String::into_bytes),
        );
    }
}

/// The whole with its padding, and for each of the three places within a longer text (`user:SECRET`) what the
/// secret alone decides of it; of long secrets also the lines of 76 and 64 characters that `base64` and PEM make.
fn base64_forms(value: &str) -> Vec<String> {
    let mut forms = Vec::new();
    for engine in [&STANDARD, &URL_SAFE] {
        let whole = engine.encode(value);
        forms.push(whole.trim_end_matches('=').to_owned());
        for offset in 0..3 {
            let padded: Vec<u8> = std::iter::repeat_n(0, offset).chain(value.bytes()).collect();
            let encoded = engine.encode(&padded);
            // Six bits a character: leave out those at both ends that hold bits of the neighbours.
            let (from, to) = ((offset * 8).div_ceil(6), padded.len() * 8 / 6);
            forms.extend(encoded.get(from..to).map(str::to_owned));
        }
        for width in [76, 64] {
            if whole.len() > width {
                forms.extend(
                    whole
                        .as_bytes()
                        .chunks(width)
                        .map(|c| String::from_utf8_lossy(c).into_owned()),
                );
            }
        }
        forms.push(whole);
    }
    forms.retain(|f| f.len() >= ENCODED_CHARS_MIN);
    forms
}

fn hex_forms(value: &str) -> Vec<String> {
    let lower = value.bytes().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let upper = lower.to_uppercase();
    vec![lower, upper]
}

/// Percent-encoding as JavaScript, RFC 3986, form bodies, Python (which leaves `/`) and `encodeURI` do it.
fn uri_forms(value: &str) -> Vec<String> {
    const UNRESERVED: &[u8] = b"-_.~";
    const COMPONENT: &[u8] = b"-_.~!*'()";
    const WITH_SLASH: &[u8] = b"-_.~/";
    const WHOLE_URI: &[u8] = b"-_.~!*'();,/?:@&=+$#";
    let mut forms = Vec::new();
    for kept in [UNRESERVED, COMPONENT, WITH_SLASH, WHOLE_URI] {
        let upper = percent(value, kept, |out, byte| write!(out, "%{byte:02X}"));
        forms.push(percent(value, kept, |out, byte| write!(out, "%{byte:02x}")));
        forms.push(upper.replace("%20", "+"));
        forms.push(upper);
    }
    forms
}

fn percent(value: &str, kept: &[u8], escape: fn(&mut String, u8) -> std::fmt::Result) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = escape(&mut out, byte);
        }
    }
    out
}

/// Plain JSON; with `\u` for what is not ASCII (Python); with `\u` for `<`, `>` and `&` (Go); with `\/` (PHP);
/// and JSON within JSON.
fn json_forms(value: &str) -> Vec<String> {
    let plain = json(value, |_| false);
    let twice = json(&plain, |_| false);
    let slashes = plain.replace('/', "\\/");
    vec![
        json(value, |c| !c.is_ascii()),
        json(value, |c| "<>&".contains(c)),
        twice,
        slashes,
        plain,
    ]
}

fn json(value: &str, escaped: fn(char) -> bool) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c.is_control() && c.is_ascii() || escaped(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out
}

fn command_line_forms(value: &str) -> Vec<String> {
    vec![value.replace('"', "\\\""), value.replace('"', "\"\"")]
}

/// As shells print words: single quotes broken out, within double quotes, each character with a backslash
/// (`printf %q`), and `$'…'`.
fn shell_forms(value: &str) -> Vec<String> {
    let backslashed = |special: &str| {
        value.chars().fold(String::new(), |mut out, c| {
            if special.contains(c) {
                out.push('\\');
            }
            out.push(c);
            out
        })
    };
    let dollar = value
        .replace('\\', "\\\\")
        .replace('\'', "\\'")
        .replace('\n', "\\n")
        .replace('\r', "\\r")
        .replace('\t', "\\t");
    vec![
        value.replace('\'', r"'\''"),
        value.replace('\'', r#"'"'"'"#),
        backslashed("\\\"$`"),
        backslashed(" \t!\"#$&'()*,;<>?[\\]^`{|}~"),
        backslashed(" \t!\"$&'()*,;<>?[\\]^`{|}"),
        dollar,
    ]
}

/// Texts and attributes, with the spellings of the apostrophe that are in use.
fn xml_forms(value: &str) -> Vec<String> {
    let text = value
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let attribute = text.replace('"', "&quot;");
    let mut forms: Vec<String> = ["&apos;", "&#39;", "&#x27;"]
        .iter()
        .map(|quote| attribute.replace('\'', quote))
        .collect();
    forms.extend([attribute, text]);
    forms
}

fn expression_forms(value: &str) -> Vec<String> {
    vec![value.replace('\'', "''")]
}

/// A secret that was stored with its quotes is often printed without them.
fn unquoted_forms(value: &str) -> Vec<String> {
    const QUOTED_CHARS_MIN: usize = 8;
    let inner = ['"', '\'']
        .iter()
        .find_map(|q| value.strip_prefix(*q).and_then(|v| v.strip_suffix(*q)));
    inner
        .filter(|_| value.len() > QUOTED_CHARS_MIN)
        .map(str::to_owned)
        .into_iter()
        .collect()
}

/// PowerShell colours the parts of a failed command apart: cut after the last `&`, or after the first `&+`,
/// where the character that follows may stand apart too.
fn power_shell_forms(value: &str) -> Vec<String> {
    let cut = value
        .find("&+")
        .map(|at| at + 2)
        .or_else(|| value.rfind('&').map(|at| at + 1));
    let Some((before, after)) = cut.and_then(|at| value.split_at_checked(at)) else {
        return Vec::new();
    };
    let mut rest = after.chars();
    rest.next();
    [before, after, rest.as_str()]
        .into_iter()
        .filter(|part| part.chars().count() >= POWERSHELL_PART_CHARS_MIN)
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(secret: &str, form: &str) -> bool {
        of(secret).iter().any(|f| f == form.as_bytes())
    }

    #[test]
    fn each_encoding_is_among_the_forms() {
        for (secret, form) in [
            ("hunter2!", "hunter2!"),
            ("hunter2!", "aHVudGVyMiE="),
            ("hunter2!", "68756e7465723221"),
            ("ÿ/k€y", "C3BF2F6BE282AC79"),
            ("a b/ö&", "a%20b%2F%C3%B6%26"),
            ("a b/ö&", "a%20b%2f%c3%b6%26"),
            ("a b/ö&", "a+b%2F%C3%B6%26"),
            ("a b/ö&", "a%20b/%C3%B6%26"),
            ("say \"hi\"\n\\", "say \\\"hi\\\"\\n\\\\"),
            ("pä<ss", "p\\u00e4<ss"),
            ("pä<ss", "pä\\u003css"),
            ("it's", "it'\\''s"),
            ("it's", "it'\"'\"'s"),
            ("it's", "it''s"),
            ("it's", "it&apos;s"),
            ("it's", "it&#39;s"),
            ("a$b c", "a\\$b\\ c"),
            ("a\"b", "a\\\"b"),
            ("<\"&>", "&lt;&quot;&amp;&gt;"),
            ("\"quoted-secret\"", "quoted-secret"),
            ("secretpart1&secretpart2&secretpart3", "secretpart1&secretpart2&"),
            ("secretpart1&secretpart2&secretpart3", "secretpart3"),
            ("secretpart1&+secretpart2", "secretpart1&+"),
            ("secretpart1&+secretpart2", "ecretpart2"),
            ("first line\nsecond line\r\n", "second line"),
            ("first line\nsecond line\r\n", "first line\r\nsecond line"),
        ] {
            assert!(has(secret, form), "{secret:?} should be masked as {form:?}");
        }
    }

    #[test]
    fn what_is_too_short_is_no_secret() {
        for secret in ["", "a", " ", "\n", "  \n ", "ä"] {
            assert!(of(secret).is_empty(), "{secret:?}");
        }
        assert!(!has("{\n  \"key\": \"value\"\n}", "{"));
        assert!(has("{\n  \"key\": \"value\"\n}", "\"key\": \"value\""));
    }

    #[test]
    fn base64_is_found_at_each_offset_of_a_longer_text() {
        let secret = "s3cr3t-t0ken";
        for prefix in ["", "a", "ab", "abc", "user:"] {
            for suffix in ["", "x", "yz"] {
                let text = STANDARD.encode(format!("{prefix}{secret}{suffix}"));
                assert!(
                    of(secret)
                        .iter()
                        .any(|f| text.contains(std::str::from_utf8(f).unwrap())),
                    "{prefix}{secret}{suffix} as {text}"
                );
            }
        }
    }
}
