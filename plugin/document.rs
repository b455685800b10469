//! `-o json|yaml` of the verbs that can print what they found as one document.

use crate::ending::{json_text, yaml_text};
use crate::stop::Stopped;
use clap::{Args, ValueEnum};
use serde_json::Value;

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct DocumentArg {
    /// Print a document
    #[arg(
        short,
        long,
        value_name = "json|yaml",
        value_enum,
        hide_possible_values = true
    )]
    pub(crate) output: Option<Form>,
}

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    Json,
    Yaml,
}

impl Form {
    pub(crate) fn text(self, document: &Value) -> Result<String, Stopped> {
        Ok(match self {
            Self::Json => json_text(document),
            Self::Yaml => yaml_text(document)?.trim_end().to_owned(),
        })
    }
}
