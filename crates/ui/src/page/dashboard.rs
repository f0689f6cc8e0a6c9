//! P1, the overview: what needs the reader, what runs now, the projects.

use crate::Fragment;
use maud::{Markup, html};

pub struct Dashboard {
    pub projects: Vec<Project>,
}

pub struct Project {
    pub owner: String,
    pub name: String,
}

impl Dashboard {
    #[must_use]
    pub fn main(&self) -> Markup {
        html! {
            h1 class="vh" { "Overview" }
            (self.projects())
        }
    }

    #[must_use]
    pub fn fragments(&self) -> Vec<Fragment> {
        vec![Fragment::new("projects", self.projects())]
    }

    fn projects(&self) -> Markup {
        html! {
            section id="projects" class="first" aria-labelledby="pr" {
                div class="head" { h2 id="pr" { "Projects" } span class="m" { (self.projects.len()) } }
                ol class="rows" {
                    @for project in &self.projects {
                        li { a href={ "/" (project.owner) "/" (project.name) } { b { (project.name) } } }
                    }
                }
            }
        }
    }
}
