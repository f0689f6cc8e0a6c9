//! The keeper: owns one process, its log, its restarts, and the proxy's listening sockets.
