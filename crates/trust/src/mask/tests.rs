use super::*;
use proptest::prelude::*;

fn masker(secrets: &[&str]) -> Arc<Masker> {
    let masker = Arc::new(Masker::new());
    secrets.iter().for_each(|s| masker.add(s));
    masker
}

/// Masks the text in the pieces that the lengths say, the rest in one.
fn in_pieces(masker: &Arc<Masker>, text: &[u8], lengths: &[usize]) -> Vec<u8> {
    let (mut stream, mut out, mut rest) = (masker.stream(), Vec::new(), text);
    for length in lengths {
        let (piece, after) = rest.split_at((*length).min(rest.len()));
        stream.push(piece, &mut out);
        rest = after;
    }
    stream.push(rest, &mut out);
    stream.finish(&mut out);
    out
}

#[test]
fn secrets_become_stars() {
    for (secrets, text, masked) in [
        (&["hunter2"][..], "my hunter2 is hunter2.", "my *** is ***."),
        (&["abcd", "cdef"], "xabcdefx", "x***x"),
        (&["abcd", "abcdefgh"], "abcdefgh", "***"),
        (&["secret"], "secretsecretsecret!", "***!"),
        (&["one", "two"], "onetwo one two", "*** *** ***"),
        (&["a line\nnext one"], "> a line\n> next one\n", "> ***\n> ***\n"),
        (
            &["p@ss/word"],
            "https://u:p%40ss%2Fword@h p@ss/word",
            "https://u:***@h ***",
        ),
        (&[], "nothing", "nothing"),
        (&["x", "", " "], "x  y", "x  y"),
        (&["hunter2"], "", ""),
        (&["pässwörd"], "äpässwördö", "ä***ö"),
    ] {
        let masker = masker(secrets);
        assert_eq!(masker.mask_str(text), masked, "{secrets:?} in {text:?}");
        for at in 0..=text.len() {
            let out = in_pieces(&masker, text.as_bytes(), &[at]);
            assert_eq!(
                String::from_utf8_lossy(&out),
                masked,
                "{secrets:?} in {text:?} cut at {at}"
            );
        }
        let out = in_pieces(&masker, text.as_bytes(), &vec![1; text.len()]);
        assert_eq!(
            String::from_utf8_lossy(&out),
            masked,
            "{secrets:?} in {text:?} byte by byte"
        );
    }
}

#[test]
fn a_secret_added_while_a_stream_runs_is_masked_from_there() {
    let masker = masker(&["first-secret"]);
    let (mut stream, mut out) = (masker.stream(), Vec::new());
    stream.push(b"first-secret second-secret ", &mut out);
    masker.add("second-secret-that-is-longer");
    masker.add("second-secret");
    stream.push(b"second-secret", &mut out);
    stream.finish(&mut out);
    let text = String::from_utf8(out).unwrap();
    assert!(text.starts_with("*** ") && text.ends_with(" ***"), "{text}");
}

#[test]
fn a_cut_avoids_secrets() {
    for (secrets, text, near, at) in [
        (&["secret"][..], "my secret is", 5, 3),
        (&["secret"], "my secret is", 3, 3),
        (&["secret"], "my secret is", 9, 9),
        (&["secret"], "my secret is", 10, 10),
        (&["abcd", "cdef"], "xabcdefx", 6, 1),
        (&["secret"], "secret", 3, 3),
        (&[], "text", 2, 2),
        (&["secret"], "text", 9, 4),
    ] {
        assert_eq!(
            masker(secrets).cut(text.as_bytes(), near).min(text.len()),
            at,
            "{secrets:?} in {text:?} near {near}"
        );
    }
}

#[test]
fn debug_shows_no_secret() {
    let masker = masker(&["hunter2-hunter2"]);
    let mut stream = masker.stream();
    stream.push(b"hunter2", &mut Vec::new());
    let shown = format!("{masker:?} {stream:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Few letters, so that secrets overlap, touch and repeat all the time.
    #[test]
    fn every_cut_gives_the_same(
        secrets in prop::collection::vec("[ab]{2,5}|[abc']{3,9}|[abc]{6,12}", 1..4),
        text in "[abc' \n]{0,200}",
        lengths in prop::collection::vec(0usize..9, 0..60),
    ) {
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let masker = masker(&secrets);
        let whole = masker.mask_bytes(text.as_bytes()).into_owned();
        let cut = in_pieces(&masker, text.as_bytes(), &lengths);
        prop_assert_eq!(String::from_utf8_lossy(&cut), String::from_utf8_lossy(&whole));
        // The filter only makes it faster.
        let plain = masker.automaton().map(|a| {
            let mut out = Vec::new();
            let slow = Automaton { filter: None, leftmost: a.leftmost.clone(), all: a.all.clone(), longest: a.longest };
            slow.mask(text.as_bytes(), text.len(), None, &mut out);
            out
        });
        prop_assert_eq!(plain.unwrap_or(text.clone().into_bytes()), whole.clone());
        for secret in secrets {
            prop_assert!(!String::from_utf8_lossy(&whole).contains(secret), "{} in {:?}", secret, whole);
        }
    }

    /// Only long secrets, so that the filter takes large steps.
    #[test]
    fn long_secrets_are_found_at_every_place(
        secret in "[abcd ]{14,30}",
        before in "[abcd ]{0,60}",
        after in "[abcd ]{0,60}",
        lengths in prop::collection::vec(0usize..40, 0..8),
    ) {
        prop_assume!(secret.trim().len() > 12);
        let masker = masker(&[&secret]);
        prop_assert!(masker.automaton().is_some_and(|a| a.filter.is_some()));
        let text = format!("{before}{secret}{after}");
        let whole = masker.mask_bytes(text.as_bytes()).into_owned();
        prop_assert!(!String::from_utf8_lossy(&whole).contains(secret.trim()));
        prop_assert_eq!(in_pieces(&masker, text.as_bytes(), &lengths), whole);
    }

    #[test]
    fn every_encoding_of_a_secret_is_hidden_wherever_it_is_cut(
        secret in "[ -~äß€\n]{6,40}",
        prefix in "[a-z]{0,5}",
        cut in 0usize..400,
    ) {
        prop_assume!(secret.trim().chars().count() > 5);
        let masker = masker(&[&secret]);
        for form in forms::of(&secret) {
            let text = [prefix.as_bytes(), &form, b" end"].concat();
            let out = in_pieces(&masker, &text, &[cut.min(text.len())]);
            prop_assert!(!out.windows(form.len()).any(|w| w == form), "{:?}", String::from_utf8_lossy(&form));
        }
    }
}
