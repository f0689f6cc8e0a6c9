//! Where to go and what to do, as one list: the page of the search, and what the palette offers.

use crate::shell::{Viewer, csrf_field};
use crate::words;
use maud::{Markup, html};

pub struct Search {
    pub viewer: Viewer,
    pub query: String,
    pub found: Vec<Entry>,
    /// More than are shown fit.
    pub more: usize,
}

/// One place, or one thing to do.
pub struct Entry {
    /// What sort of thing it is: `Project`.
    pub kind: &'static str,
    pub title: String,
    /// Where it leads, or what the form is sent to that does it.
    pub href: String,
    /// The fields of that form, beside the session's word; none where it is a link.
    pub form: Option<Vec<(&'static str, &'static str)>>,
}

impl Entry {
    /// Each word of the query stands in it, wherever and however written.
    #[must_use]
    pub fn fits(&self, query: &str) -> bool {
        let text = format!("{} {}", self.kind, self.title).to_lowercase();
        query
            .to_lowercase()
            .split_whitespace()
            .all(|word| text.contains(word))
    }
}

impl Search {
    #[must_use]
    pub fn main(&self) -> Markup {
        html! {
            h1 { "Find or do" }
            form method="get" action="/search" role="search" class="acts ad af" {
                label class="vh" for="words" { "Words" }
                input id="words" type="search" name="q" value=(self.query) maxlength="200" autocomplete="off";
                button class="btn" { "Find" }
            }
            section class="first" aria-label="Found" {
                p class="s m ad" role="status" { (words::counted((self.found.len() + self.more) as u64, "entry", "entries")) }
                @if self.found.is_empty() { p { "Nothing fits. Fewer words find more." } }
                ol class="rows" {
                    @for entry in &self.found {
                        li {
                            span class="m nw kind" { (entry.kind) }
                            @match &entry.form {
                                None => a class="t1" href=(entry.href) { (entry.title) },
                                Some(fields) => form class="t1" method="post" action=(entry.href) {
                                    (csrf_field(&self.viewer))
                                    @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
                                    button class="as-link" type="submit" { (entry.title) }
                                }
                            }
                        }
                    }
                }
                @if self.more > 0 { p class="m" { (words::counted(self.more as u64, "more fits", "more fit")) ". Another word finds less." } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_fits_each_word_of_the_query_in_any_order() {
        let entry = Entry {
            kind: "Roll back",
            title: "Roll back production of kim/shop…".to_owned(),
            href: String::new(),
            form: None,
        };
        for (query, fits) in [
            ("", true),
            ("roll", true),
            ("SHOP roll", true),
            ("roll staging", false),
        ] {
            assert_eq!(entry.fits(query), fits, "{query}");
        }
    }

    #[test]
    fn what_others_wrote_stays_text() {
        let search = Search {
            viewer: Viewer {
                name: "ana".to_owned(),
                csrf: "word".to_owned(),
                admin: false,
            },
            query: "\"><b>".to_owned(),
            found: vec![Entry {
                kind: "Run",
                title: "<i>x</i>".to_owned(),
                href: "/a\"b".to_owned(),
                form: None,
            }],
            more: 0,
        };
        let html = search.main().into_string();
        assert!(
            !html.contains("<b>") && !html.contains("<i>") && !html.contains("a\"b"),
            "{html}"
        );
    }
}
