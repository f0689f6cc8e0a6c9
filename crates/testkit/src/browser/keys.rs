//! Keys as the protocol wants them, by the names that people write: `Enter`, `Control+k`, `Shift+Tab`, `?`.

use serde_json::{Value, json};

const NAMED: &[(&str, u32, &str)] = &[
    ("Enter", 13, "\r"),
    ("Escape", 27, ""),
    ("Tab", 9, ""),
    ("Backspace", 8, ""),
    ("Delete", 46, ""),
    ("Space", 32, " "),
    ("ArrowLeft", 37, ""),
    ("ArrowUp", 38, ""),
    ("ArrowRight", 39, ""),
    ("ArrowDown", 40, ""),
    ("PageUp", 33, ""),
    ("PageDown", 34, ""),
    ("End", 35, ""),
    ("Home", 36, ""),
];

/// The parameters of the event that a key goes down, without its type.
pub(super) fn key(name: &str) -> Value {
    let mut modifiers = 0;
    let mut rest = name;
    while let Some((modifier, key)) = rest.split_once('+').filter(|(_, key)| !key.is_empty()) {
        modifiers |= match modifier {
            "Alt" => 1,
            "Control" => 2,
            "Meta" => 4,
            "Shift" => 8,
            _ => panic!("{name}: no modifier is called {modifier}"),
        };
        rest = key;
    }
    // With Control, Alt or Meta a key is no text.
    let types = modifiers & 7 == 0;
    if let Some((key, number, text)) = NAMED.iter().find(|(known, ..)| *known == rest) {
        let shown = if *key == "Space" { " " } else { key };
        let mut event =
            json!({ "modifiers": modifiers, "key": shown, "code": key, "windowsVirtualKeyCode": number });
        if types && !text.is_empty() {
            event["text"] = json!(text);
        }
        return event;
    }
    let mut characters = rest.chars();
    let (Some(character), None) = (characters.next(), characters.next()) else {
        panic!("{name}: no such key");
    };
    let upper = character.to_ascii_uppercase();
    let code = match upper {
        'A'..='Z' => format!("Key{upper}"),
        '0'..='9' => format!("Digit{upper}"),
        _ => String::new(),
    };
    let number = if upper.is_ascii_alphanumeric() {
        u32::from(upper)
    } else {
        0
    };
    let mut event =
        json!({ "modifiers": modifiers, "key": rest, "code": code, "windowsVirtualKeyCode": number });
    if types {
        event["text"] = json!(rest);
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_named_as_people_write_them() {
        let check = |name: &str, expected: Value| assert_eq!(key(name), expected, "{name}");
        check(
            "Control+k",
            json!({"modifiers": 2, "key": "k", "code": "KeyK", "windowsVirtualKeyCode": 75}),
        );
        check(
            "Enter",
            json!({"modifiers": 0, "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}),
        );
        check(
            "Shift+Tab",
            json!({"modifiers": 8, "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9}),
        );
        check(
            "+",
            json!({"modifiers": 0, "key": "+", "code": "", "windowsVirtualKeyCode": 0, "text": "+"}),
        );
        check(
            "?",
            json!({"modifiers": 0, "key": "?", "code": "", "windowsVirtualKeyCode": 0, "text": "?"}),
        );
    }
}
