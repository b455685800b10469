//! Nothing breaks a copy: faults at the source and at the target, five images each, before real registries.
//!
//! All five must be complete in the target every time, and no manifest may arrive there before everything
//! that it refers to, or be pushed over something that is wrong. The proxies look at every push.

mod distribution;
mod images;
mod lapse;
mod proxy;
mod runs;
mod trial;

use super::basic;
use super::server::{Reply, Request};
use proxy::Fault;
use std::sync::atomic::Ordering;
use trial::{Side, Trial, every, moves_a_blob, moves_the_big_blob, refusal};

#[tokio::test]
async fn every_fourth_blob_is_cut_midway() {
    for side in Side::BOTH {
        let rule = every(4, moves_a_blob, |_| Fault::Cut);
        let Some(trial) = Trial::with(side, rule).await else {
            return;
        };
        trial.comes_out_complete(side).await;
    }
}

#[tokio::test]
async fn the_big_blob_is_cut_midway() {
    for side in Side::BOTH {
        let mut first = true;
        let rule = move |r: &Request| {
            let cut = moves_the_big_blob(r) && std::mem::take(&mut first);
            cut.then_some(Fault::Cut)
        };
        let Some(trial) = Trial::with(side, rule).await else {
            return;
        };
        trial.comes_out_complete(side).await;
        match side {
            Side::Source => trial.reads_the_big_blob_once(),
            // Distribution 2 gives up an upload whose request broke; `uploads` has one that does not
            Side::Target => {}
        }
    }
}

#[tokio::test]
async fn every_third_blob_has_a_flipped_bit() {
    for side in Side::BOTH {
        let rule = every(3, moves_a_blob, |_| Fault::Flip);
        let Some(trial) = Trial::with(side, rule).await else {
            return;
        };
        trial.comes_out_complete(side).await;
    }
}

#[tokio::test]
async fn every_fourth_upload_is_stored_and_nobody_told() {
    let rule = every(4, moves_a_blob, |_| Fault::Lost);
    let Some(trial) = Trial::with(Side::Target, rule).await else {
        return;
    };
    trial.comes_out_complete(Side::Target).await;
}

#[tokio::test]
async fn every_sixth_request_is_one_too_many() {
    for side in Side::BOTH {
        // with the time to come back, and without it, as Quay has it
        let rule = every(6, |_| true, |n| refusal(429, (n % 2 == 1).then_some(2)));
        let Some(trial) = Trial::with(side, rule).await else {
            return;
        };
        trial.comes_out_complete(side).await;
        let waited = trial.told.waited.load(Ordering::Relaxed);
        assert!(waited >= 2, "{side:?}");
    }
}

#[tokio::test]
async fn every_sixth_request_is_answered_503() {
    for side in Side::BOTH {
        let Some(trial) = Trial::with(side, every(6, |_| true, |_| refusal(503, None))).await
        else {
            return;
        };
        trial.comes_out_complete(side).await;
    }
}

#[tokio::test]
async fn every_sixth_connection_is_reset_before_or_after_the_registry_did_it() {
    for side in Side::BOTH {
        let before_or_after = |n| {
            if n % 2 == 0 {
                Fault::Reset
            } else {
                Fault::Lost
            }
        };
        let Some(trial) = Trial::with(side, every(6, |_| true, before_or_after)).await else {
            return;
        };
        trial.comes_out_complete(side).await;
    }
}

#[tokio::test]
async fn every_sixth_request_is_answered_401_whatever_its_token() {
    for side in Side::BOTH {
        let Some(trial) = Trial::prepare().await else {
            return;
        };
        let host = trial.side(side).host.clone();
        let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"s\"");
        let mut given = 0;
        trial.side(side).obey(move |r| {
            given += usize::from(r.path == "/token");
            let token = format!(r#"{{"token":"t{given}","expires_in":300}}"#);
            (r.path == "/token").then(|| Fault::Answer(Reply::new(200).body(token)))
        });
        every_sixth_is_refused(&trial, side, challenge);
        trial.comes_out_complete(side).await;
    }
}

#[tokio::test]
async fn every_sixth_request_is_answered_401_whatever_its_password() {
    for side in Side::BOTH {
        let Some(trial) = Trial::prepare().await else {
            return;
        };
        let trial = trial.asked_as(basic("me", "right"));
        every_sixth_is_refused(&trial, side, "Basic realm=\"r\"".to_owned());
        trial.comes_out_complete(side).await;
    }
}

/// Strangers are always refused, and so is every sixth of those that say who they are.
fn every_sixth_is_refused(trial: &Trial, side: Side, challenge: String) {
    let refused =
        Reply::error(401, "UNAUTHORIZED", "who is it").header("WWW-Authenticate", challenge);
    let fault = Fault::Answer(refused);
    let stranger = fault.clone();
    let known = |r: &Request| r.header("authorization").is_some();
    trial
        .side(side)
        .obey(move |r| (!known(r)).then(|| stranger.clone()));
    trial
        .side(side)
        .obey(every(6, known, move |_| fault.clone()));
}

#[tokio::test]
async fn a_blob_stalls() {
    for side in Side::BOTH {
        let mut first = true;
        let rule = move |r: &Request| {
            let stall = moves_the_big_blob(r) && std::mem::take(&mut first);
            stall.then_some(Fault::Stall)
        };
        let Some(trial) = Trial::with(side, rule).await else {
            return;
        };
        trial.comes_out_complete(side).await;
        match side {
            Side::Source => trial.reads_the_big_blob_once(),
            // Distribution 2 gives up an upload whose request broke; `uploads` has one that does not
            Side::Target => {}
        }
    }
}

#[tokio::test]
async fn blobs_that_go_by_one_post_come_out_complete_too() {
    let rules = [
        every(3, moves_a_blob, |_| Fault::Cut),
        every(3, moves_a_blob, |_| Fault::Flip),
        every(3, moves_a_blob, |_| Fault::Lost),
        every(5, |_| true, |_| Fault::Reset),
        every(5, |_| true, |_| Fault::Lost),
        every(5, |_| true, |_| refusal(503, None)),
        every(5, |_| true, |_| refusal(429, Some(2))),
    ];
    for rule in rules {
        let Some(trial) = Trial::by_posts(rule).await else {
            return;
        };
        trial.comes_out_complete(Side::Target).await;
        let passed = trial.target.passed();
        let posted = passed.iter().filter(|p| {
            p.request.method == "POST" && p.request.length() > 0 && p.status == Some(201)
        });
        assert!(posted.count() > 5);
    }
}
