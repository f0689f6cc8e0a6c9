//! The control plane: use cases, drivers, REST, git over HTTP.
