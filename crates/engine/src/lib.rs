//! Every decision that must survive a restart, as pure machines.
