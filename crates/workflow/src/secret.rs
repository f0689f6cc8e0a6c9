//! Which secrets a job's file names: a job gets those and no others.

use crate::expr::{Expr, Template};
use crate::lint::visit;
use crate::model::{Tree, TreeKey, TreeKind, Workflow};
use std::collections::BTreeSet;

/// Names of secrets, which have no case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// The context is taken as a whole, as in `toJSON(secrets)`, or by a name that is worked out.
    All,
    /// In lower case.
    Only(BTreeSet<String>),
}

impl Default for Named {
    fn default() -> Self {
        Named::Only(BTreeSet::new())
    }
}

impl Named {
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        match self {
            Named::All => true,
            Named::Only(names) => names.contains(&name.to_lowercase()),
        }
    }

    /// Adds what an expression names.
    fn take(&mut self, expr: &Expr) {
        for (chain, _) in expr.references() {
            let mut chain = chain.into_iter();
            if chain.next().as_deref() != Some("secrets") {
                continue;
            }
            match (chain.next(), &mut *self) {
                (Some(name), Named::Only(names)) => {
                    names.insert(name);
                }
                (Some(_), Named::All) => {}
                (None, _) => *self = Named::All,
            }
        }
    }

    fn take_template(&mut self, template: &Template) {
        template.expressions().for_each(|expr| self.take(expr));
    }

    fn take_tree(&mut self, tree: &Tree) {
        match &tree.kind {
            TreeKind::Scalar(_) => {}
            TreeKind::Template(template) => self.take_template(template),
            TreeKind::Seq(items) => items.iter().for_each(|item| self.take_tree(item)),
            TreeKind::Map(entries) => {
                for (key, value) in entries {
                    if let TreeKey::Template(template) = key {
                        self.take_template(template);
                    }
                    self.take_tree(value);
                }
            }
        }
    }
}

/// Those that a job names, and those that stand outside of all jobs of its file.
#[must_use]
pub fn of_job(workflow: &Workflow, key: &str) -> Named {
    let mut named = Named::default();
    visit::expressions(workflow, &mut |site, expr| {
        if site.job.is_none_or(|job| job.id.value == key) {
            named.take(expr);
        }
    });
    named
}

/// Those that stand in a tree.
#[must_use]
pub fn of_tree(tree: &Tree) -> Named {
    let mut named = Named::default();
    named.take_tree(tree);
    named
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{NoResolver, ParseOptions, workflow};
    use crate::source::Source;

    fn check(job: &str, expected: Option<&[&str]>) {
        let text = format!(
            "on: push\nenv:\n  EVERYWHERE: ${{{{ secrets.TOP }}}}\njobs:\n  other:\n    runs-on: x\n    steps:\n      \
             - run: echo ${{{{ secrets.OTHER }}}}\n  a:\n    runs-on: x\n{job}"
        );
        let source = Source::new("w.yml", text.as_str());
        let (workflow, diagnostics) = workflow(&source, &NoResolver, &ParseOptions::default());
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        let named = of_job(&workflow.expect("a workflow"), "a");
        let expected = expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(named, expected.map_or(Named::All, Named::Only), "{text}");
    }

    #[test]
    fn a_job_names_what_stands_in_it_and_around_all_jobs() {
        check("    steps:\n      - run: make\n", Some(&["top"]));
        check(
            "    env: { A: '${{ secrets.Key }}' }\n    container:\n      image: i\n      credentials:\n        \
             username: u\n        password: ${{ secrets.PULL }}\n    steps:\n      - run: make ${{ secrets['Made'] }}\n      \
             - if: ${{ github.ref == 'x' }}\n        uses: ./a\n        with: { token: \"${{ secrets.WITH || 'secrets.NOT' }}\" }\n",
            Some(&["key", "made", "pull", "top", "with"]),
        );
    }

    #[test]
    fn the_context_as_a_whole_is_all_of_them() {
        for whole in [
            "toJSON(secrets)",
            "secrets[github.ref]",
            "secrets.*",
            "secrets[format('{0}', 'A')]",
        ] {
            check(
                &format!("    steps:\n      - run: echo ${{{{ {whole} }}}}\n"),
                None,
            );
        }
    }
}
