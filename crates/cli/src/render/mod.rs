//! How things look in a terminal. Only this module and `ui` format for people.

pub(crate) mod diagnostic;
pub(crate) mod json;
pub(crate) mod live;
pub(crate) mod run;
pub(crate) mod style;
