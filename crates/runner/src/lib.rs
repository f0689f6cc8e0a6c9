//! Executes jobs: leases, steps, processes, isolation, actions, logs.
