//! The agent's objects, as values.
//!
//! Decides their names and contents from settings. Pure: never asks a cluster or a registry.
