//! What kubectl's words select: TYPE/NAME, TYPE[,TYPE] [NAME…], `ns/NAME`, `-A`, `-l`.

use crate::workload::Kind;

/// A parsed selection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    // shape decided by the builder; must tell named from broad
    /// Placeholder of the shape: kinds × names × namespaces.
    pub kinds: Vec<Kind>,
}

/// Why words select nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SelectionError {
    /// What is wrong, with the offending word.
    pub message: String,
    /// What helps.
    pub hint: Option<String>,
}

impl Selection {
    /// Parses the words after the verb. `all_namespaces` is `-A`, `labels` is `-l`.
    pub fn parse(
        _words: &[String],
        _all_namespaces: bool,
        _labels: Option<&str>,
    ) -> Result<Self, SelectionError> {
        todo!()
    }

    /// Whether it is broad: shows the plan and asks before anything is done.
    pub fn is_broad(&self) -> bool {
        todo!()
    }
}
