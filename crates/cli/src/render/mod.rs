//! How things look in a terminal. Only this module and `ui` format for people.

pub(crate) mod deployment;
pub(crate) mod diagnostic;
pub(crate) mod json;
pub(crate) mod live;
pub(crate) mod page;
pub(crate) mod run;
pub(crate) mod run_page;
pub(crate) mod status;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod text;
