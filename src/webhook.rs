//! Admission: workloads repointed as they are created, where their copies are known complete.
//!
//! Decides the answer to an admission review, from what is known in this process. Never asks anybody.
