//! The judge of a release: sequential tests of errors and response times, verdicts with evidence, replay. Pure.
