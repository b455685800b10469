//! A run that copies images and changes no workload.
//!
//! Decides nothing of what is copied or printed: the verbs do.

use crate::ending::run_id;
use crate::progress::Progress;
use crate::settings::{Settings, Target};
use crate::stop::Stopped;
use image_cloner::execute::{Images, Observer, Options};
use image_cloner::outcome::Outcome;
use image_cloner::plan::Copy;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

pub(crate) struct ImageRun {
    pub(crate) images: Images,
    options: Options,
    started: Instant,
}

impl ImageRun {
    /// Begins now, with this machine's own credentials for the sources.
    pub(crate) fn begin(settings: &Settings, target: &Target, options: Options) -> Self {
        Self {
            images: Images::new(
                Arc::clone(&target.registries),
                settings.chain.clone(),
                BTreeMap::new(),
                target.credentials.clone(),
                target.concurrency,
                options.clone(),
            ),
            options,
            started: Instant::now(),
        }
    }

    /// Copies these images, to the end of the progress.
    pub(crate) async fn copy(
        &self,
        copies: &[Copy],
        progress: Arc<Progress>,
    ) -> Result<Outcome, Stopped> {
        let observer: Arc<dyn Observer> = progress.clone();
        let outcome = Outcome {
            run: run_id()?,
            images: self.images.copy(copies, &observer).await,
            workloads: Vec::new(),
            took: self.started.elapsed(),
            interrupted: self.options.stop.is_cancelled(),
            dry_run: self.options.dry_run,
        };
        progress.finish();
        Ok(outcome)
    }
}
