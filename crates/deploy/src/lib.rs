//! Targets: makes what a deployment decided stand, and proves it.
