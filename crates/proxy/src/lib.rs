//! The data plane: routing, splitting, draining, counting, tripping.
