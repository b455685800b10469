//! A repoint → the body of its one JSON patch.
//!
//! Decides the compare-and-set: `test` on container names, images, pull secrets and the record, never on
//! the resource version (any status write moves that). Never sends anything.

use crate::plan::Repoint;
use crate::workload::Workload;
use serde_json::Value;

/// The JSON patch (RFC 6902) that carries out a repoint on the workload as it was observed.
pub fn body(_workload: &Workload, _repoint: &Repoint) -> Value {
    todo!()
}
