//! Checks of sources: whether Docker Hub gives as many images as are wanted of it.

use super::{Doctor, Findings, within};
use crate::outcome::{Check, Verdict};
use crate::reference::Reference;
use crate::registry::{Error, Quota};
use crate::workload::Workload;
use std::collections::BTreeSet;

const DOCKER_HUB: &str = "docker.io";

impl Doctor {
    /// What Docker Hub still gives to whoever would copy from it here.
    pub(super) async fn quota(&self, findings: &Findings) -> Check {
        let name = DOCKER_HUB;
        if findings.from_hub.is_empty() {
            return Check::skip(name, "no workload here runs an image from there");
        }
        let Ok(target) = &self.target else {
            return Check::skip(name, "no target registry is known");
        };
        within(name, Verdict::Warn, async {
            for image in &findings.from_hub {
                let credentials = match target.chain.find(DOCKER_HUB, image.repository()).await {
                    Ok(credentials) => credentials,
                    Err(error) => return Check::warn(name, error.to_string()),
                };
                let registries = &target.registries;
                let asked = std::slice::from_ref(&credentials);
                match registries.source(image, asked).await {
                    Ok(source) => {
                        let (quota, who) = (registries.quota(&source), credentials.user());
                        return told(name, quota, findings.from_hub.len(), who);
                    }
                    // another image tells as much
                    Err(Error::NotFound { .. }) => {}
                    Err(error) => {
                        let hint = error.hint().map(str::to_owned);
                        return Check::warn(name, error.to_string()).mend_all(hint);
                    }
                }
            }
            Check::skip(name, "it has none of the images of the workloads here")
        })
        .await
    }
}

/// What a quota means for so many images: each takes one read, and one more for each platform.
fn told(name: &'static str, quota: Option<Quota>, images: usize, who: Option<&str>) -> Check {
    let Some(Quota {
        limit,
        left,
        window,
    }) = quota
    else {
        return Check::ok(name, "tells of no limit");
    };
    let hours = window.as_secs().div_ceil(3600);
    let who = who.unwrap_or("anonymous");
    let found = format!("{left} of {limit} manifest reads in {hours} h are left ({who})");
    if usize::try_from(left).is_ok_and(|left| left < images) {
        return Check::warn(name, format!("{found}, for {images} images"))
            .mend("kubectl image-cloner login docker.io  # gives more")
            .mend("or --platform cluster, which reads less; finished work is not repeated");
    }
    Check::ok(name, found)
}

/// The images from Docker Hub that workloads run or, where they run copies, ran before.
pub(super) fn from_hub(workloads: &[Workload]) -> Vec<Reference> {
    let images = workloads.iter().flat_map(|workload| {
        let now = workload.slots.iter().map(|slot| &slot.image);
        let record = workload.record.iter().flat_map(|record| &record.slots);
        now.chain(record.map(|(_, slot)| &slot.original))
    });
    let images: BTreeSet<Reference> = images
        .filter_map(|image| Reference::parse(image).ok())
        .filter(|image| image.registry() == DOCKER_HUB)
        .collect();
    images.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_quota_is_worth_a_word_where_it_is_less_than_is_wanted() {
        let check = |left: u64, verdict: Verdict, found: &str| {
            let quota = Quota {
                limit: 100,
                left,
                window: Duration::from_secs(21_600),
            };
            let check = told(DOCKER_HUB, Some(quota), 8, None);
            assert_eq!((check.verdict, check.found.as_str()), (verdict, found));
        };
        check(
            8,
            Verdict::Ok,
            "8 of 100 manifest reads in 6 h are left (anonymous)",
        );
        check(
            7,
            Verdict::Warn,
            "7 of 100 manifest reads in 6 h are left (anonymous), for 8 images",
        );
        assert_eq!(told(DOCKER_HUB, None, 8, None).found, "tells of no limit");
    }
}
