//! Who of several agents works: leadership on a Lease.
//!
//! Decides when leadership begins and when it must be taken for lost, by this process's own monotonic clock.
//! Never decides what a leader does.
