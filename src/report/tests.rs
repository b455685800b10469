//! The screens, whole, at 80 columns.

#![allow(
    clippy::default_trait_access,
    reason = "values that a screen does not show"
)]

use super::{Scene, foreign_line, plan, question, restore, summary, workload_line};
use crate::outcome::{
    DryRun, Failure, Finding, ImageOutcome, ImageState, Outcome, Reads, Survey, WorkloadOutcome,
    WorkloadState,
};
use crate::plan::{self as planning, Observed, Plan, Policy, PullAccess};
use crate::platform::Platforms;
use crate::target::{Layout, TargetRegistry};
use crate::workload::{Kind, Workload};
use serde_json::json;
use std::time::Duration;

fn target() -> TargetRegistry {
    TargetRegistry::parse("harbor.corp/mirror", Layout::Mirror).unwrap()
}

fn observed(kind: &str, name: &str, image: &str) -> Observed {
    let kind = Kind::from_word(kind).unwrap();
    let object = json!({
        "metadata": {"name": name, "namespace": "prod"},
        "spec": {"strategy": {"type": "Recreate"},
            "template": {"spec": {"containers": [{"name": "main", "image": image}]}}},
    });
    Observed {
        workload: Workload::from_object(&kind, &object).unwrap(),
        running: Default::default(),
        account_pull_secrets: Some(Vec::new()),
        pull_credentials: crate::plan::PullCredentials::None,
        named: false,
        namespace_opted_out: false,
    }
}

fn policy() -> Policy {
    Policy {
        run: "a7f3".into(),
        time: None,
        target: target(),
        images: Default::default(),
        skip_namespaces: Default::default(),
        protect: Default::default(),
        copy_only: false,
        owned_live: false,
        pull: PullAccess::Secret("image-cloner-pull".into()),
    }
}

fn planned() -> Plan {
    let observed = [
        observed("deploy", "web", "nginx:1.25"),
        observed("sts", "cache", "bitnami/redis:7.2"),
        observed(
            "deploy",
            "cd",
            "quay.io/argoproj/argocd-with-a-name-that-is-long:v3",
        ),
        observed("deploy", "gone", "corp/api:9"),
        observed("job", "once", "nginx:1.25"),
        observed("deploy", "done", "harbor.corp/mirror/nginx:1.25"),
    ];
    planning::clone(&observed, &policy()).unwrap()
}

fn digest(hex: char) -> crate::reference::Digest {
    format!("sha256:{}", hex.to_string().repeat(64))
        .parse()
        .unwrap()
}

fn survey(plan: &Plan) -> Survey {
    let found = |copy: &planning::Copy| match copy.source.repository() {
        "corp/api" => Err(Failure::new("not in its registry: 404")),
        "bitnami/redis" => Ok((44_000_000, true, Vec::new())),
        "library/nginx" => Ok((
            71_000_000,
            false,
            vec!["nginx:1.25 is 91be07d3 upstream; what runs is copied: 4c0f1a2b".to_owned()],
        )),
        _ => Ok((161_000_000, false, Vec::new())),
    };
    let finding = |(size, present, notes)| Finding {
        digest: digest('a'),
        size: Some(size),
        present,
        moved: None,
        notes,
        denied: Default::default(),
        reads: None,
    };
    plan.copies
        .iter()
        .map(|copy| (copy.target.clone(), found(copy).map(finding)))
        .collect()
}

fn scene(target: &TargetRegistry) -> Scene<'_> {
    Scene {
        context: "prod-eu",
        target,
        to: None,
        push_as: Some("robot$cloner"),
        pull_secret: Some(("image-cloner-pull", "robot$pull")),
        platforms: &Platforms::All,
        width: 80,
        wide: false,
    }
}

#[test]
fn the_plan() {
    let planned = planned();
    let survey = survey(&planned);
    let screen = plan(&planned, &survey, &scene(&target()));
    assert!(
        screen.lines().all(|line| line.chars().count() <= 80),
        "{screen}"
    );
    insta::assert_snapshot!(screen, @r"
    context prod-eu   target harbor.corp/mirror   push as robot$cloner

    SOURCE                      TARGET                        SIZE  COPY     USED BY
    bitnami/redis:7.2           bitnami/redis:7.2            44 MB  present        1
    corp/api:9                  corp/api:9                       ?  fails          1
    nginx:1.25                  nginx:1.25                   71 MB  new            2
    quay.io/..-that-is-long:v3  quay.io/..-that-is-long:v3  161 MB  new            1

    repoint       3  Deployment 2, StatefulSet 1; 2 use Recreate: downtime
    copy only     1  a Job's template cannot be changed
    unchanged     1  already cloned
    fails            corp/api:9: not in its registry: 404
    note             nginx:1.25 is 91be07d3 upstream; what runs is copied: 4c0f1a2b
    pull secret      image-cloner-pull in prod, as robot$pull
    ");
    let asked = question(&planned, &survey);
    assert_eq!(
        asked.as_deref(),
        Some("Copy 2 images (232 MB), repoint 3 workloads in prod?")
    );
}

#[test]
fn names_too_long_for_one_line_have_one_each() {
    let (planned, target) = (planned(), target());
    let scene = Scene {
        context: "gke_a-project-of-ours_europe-west4_prod-eu",
        ..scene(&target)
    };
    let head = |scene: &Scene<'_>| {
        let screen = plan(&planned, &Survey::new(), scene);
        screen.split("\n\n").next().unwrap().to_owned()
    };
    insta::assert_snapshot!(head(&scene), @r"
    context gke_a-project-of-ours_europe-west4_prod-eu
    target harbor.corp/mirror
    push as robot$cloner
    ");
    let wide = Scene {
        wide: true,
        ..scene
    };
    assert_eq!(head(&wide).lines().count(), 1);
}

#[test]
fn the_way_for_what_is_owned() {
    let next = |namespaces: &[&str], to: Option<&str>| {
        let observed: Vec<Observed> = namespaces
            .iter()
            .map(|namespace| {
                let mut one = observed("deploy", "web", "nginx:1.25");
                one.workload.id.namespace = (*namespace).to_owned();
                one.workload.owner = Some(crate::workload::Owner::Flux(Some("shop".into())));
                one
            })
            .collect();
        let policy = Policy {
            pull: PullAccess::Open,
            ..policy()
        };
        let planned = planning::clone(&observed, &policy).unwrap();
        let target = target();
        let scene = Scene {
            to,
            ..scene(&target)
        };
        let screen = plan(&planned, &Survey::new(), &scene);
        let at = screen.find("next").unwrap();
        screen[at..].to_owned()
    };
    let all = next(&["prod"], None)
        + &next(&["prod", "prod", "shop"], Some("harbor.corp/mirror"))
        + &next(&["a", "b", "c", "d"], None);
    assert!(all.lines().all(|line| line.chars().count() <= 80), "{all}");
    insta::assert_snapshot!(all, @r"
    next             clone deployment.apps/web -n prod -o kustomize prints what the
                     manifests of the owned need; --owned live repoints them
    next             clone ns/prod ns/shop --to harbor.corp/mirror -o kustomize
                     prints what the manifests of the owned need; --owned live
                     repoints them
    next             clone -A -o kustomize prints what the manifests of the owned
                     need; --owned live repoints them
    ");
}

#[test]
fn what_sources_still_let_be_read() {
    let planned = planned();
    let lines = |left, user: Option<&str>, costs: [(u64, u64, bool); 3]| {
        let mut survey = survey(&planned);
        let found = survey.values_mut().filter_map(|found| found.as_mut().ok());
        for (found, (made, needed, exact)) in found.zip(costs) {
            found.reads = Some(Reads {
                registry: "docker.io".into(),
                user: user.map(str::to_owned),
                limit: 200,
                left,
                window: Duration::from_hours(6),
                made,
                needed,
                exact,
            });
        }
        let screen = plan(&planned, &survey, &scene(&target()));
        let at = screen.find("rate limit").unwrap();
        let rows = screen[at..].split("pull secret").next().unwrap().to_owned();
        assert!(
            rows.lines().all(|line| line.chars().count() <= 80),
            "{rows}"
        );
        (rows, super::shortages(&survey).len())
    };
    let rows = [
        lines(112, None, [(5, 0, true), (1, 0, true), (9, 0, true)]),
        lines(112, None, [(5, 0, true), (1, 12, true), (1, 30, true)]),
        lines(12, Some("me"), [(1, 9, true), (1, 2, true), (0, 2, false)]),
        lines(1, None, [(0, 2, false), (0, 1, false), (0, 2, false)]),
    ];
    let short: Vec<_> = rows.iter().map(|(_, shortages)| *shortages).collect();
    assert_eq!(short, [0, 0, 1, 1]);
    let rows: String = rows.into_iter().map(|(rows, _)| rows).collect();
    insta::assert_snapshot!(rows, @r"
    rate limit       docker.io: 112 of 200 manifest reads left, this run needs no
                     more (15 made)
    rate limit       docker.io: 112 of 200 manifest reads left, this run needs 42
    rate limit       docker.io: 12 of 200 manifest reads left, this run needs at
                     least 13: it will stall; wait (counted over 6 h)
    rate limit       docker.io: 1 of 200 manifest reads left, this run needs at
                     least 5: it will stall; log in there for more, or wait (counted
                     over 6 h)
    ");
}

#[test]
fn a_plan_with_nothing_to_do_asks_nothing() {
    let nothing = Plan {
        copies: Vec::new(),
        workloads: Vec::new(),
        left_out: Default::default(),
    };
    assert_eq!(question(&nothing, &Survey::new()), None);
}

fn outcome() -> Outcome {
    let plan = planned();
    let failure = Failure::new("copying corp/api:9 to harbor.corp/mirror/corp/api:9: gone")
        .hint("pull it from somewhere else");
    let images = plan.copies.iter().map(|copy| ImageOutcome {
        source: copy.source.clone(),
        target: copy.target.clone(),
        digest: Some(digest('a')),
        state: match copy.source.repository() {
            "corp/api" => ImageState::Failed(failure.clone()),
            "bitnami/redis" => ImageState::Present,
            _ => ImageState::Copied { bytes: 71_000_000 },
        },
        foreign_left: 0,
        notes: Vec::new(),
    });
    let workloads = plan.workloads.iter().map(|planned| WorkloadOutcome {
        workload: planned.workload.id.clone(),
        state: match planned.workload.id.name.as_str() {
            "gone" => WorkloadState::Failed(failure.clone()),
            "once" => WorkloadState::CopiedOnly("a Job's template cannot be changed".into()),
            "done" => WorkloadState::Unchanged,
            _ => WorkloadState::Repointed {
                rollout: Some("3/3 ready".into()),
            },
        },
        notes: Vec::new(),
        left: false,
        owned: false,
        object: None,
    });
    Outcome {
        run: "a7f3".into(),
        images: images.collect(),
        workloads: workloads.collect(),
        took: Duration::from_secs(192),
        interrupted: false,
        dry_run: DryRun::None,
    }
}

#[test]
fn the_summary() {
    insta::assert_snapshot!(summary(&outcome()), @r"
    run a7f3 finished in 3m12s with failures

    images      2 copied (142 MB), 1 present, 1 failed
    workloads   3 repointed, 1 failed, 1 copied only, 1 unchanged
    copied only 1: a Job's template cannot be changed

    deployment.apps/gone in prod failed: copying corp/api:9 to harbor.corp/mirror/corp/api:9: gone
      hint: pull it from somewhere else

    retry   same command; finished work is not repeated
    undo    kubectl image-cloner restore --run a7f3 -n prod
    ");
}

#[test]
fn foreign_layers_that_were_left_are_counted_and_named() {
    let mut outcome = outcome();
    outcome.images[0].foreign_left = 1;
    outcome.images[2].foreign_left = 2;
    let text = summary(&outcome);
    let line = "not copied  3 foreign layers of 2 images (--foreign-layers copy)\n";
    assert!(text.contains(line), "{text}");
    let line = |at: usize| foreign_line(&outcome.images[at]);
    let said = "bitnami/redis:7.2: 1 foreign layer not copied, which nodes get from their owner";
    assert_eq!(line(0).as_deref(), Some(said));
    assert_eq!(line(1), None);
    let report = super::report_file(&outcome);
    assert_eq!(report["images"][2]["foreignLayersNotCopied"], json!(2));
    assert!(report["images"][1].get("foreignLayersNotCopied").is_none());
}

#[test]
fn the_summary_of_a_dry_run_offers_no_way_back_from_what_was_not_done() {
    let dry = Outcome {
        dry_run: DryRun::Client,
        ..outcome()
    };
    let text = summary(&dry);
    assert!(text.starts_with("client dry run a7f3 finished"), "{text}");
    assert!(text.contains("images      2 to copy, 1 present"), "{text}");
    assert!(
        !text.contains("restore --run") && !text.contains("retry"),
        "{text}"
    );
}

#[test]
fn a_line_a_workload() {
    let lines = |named, dry_run| {
        let outcome = outcome();
        let lines = outcome
            .workloads
            .iter()
            .filter_map(|w| workload_line(w, named, dry_run));
        lines.collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(lines(false, DryRun::None), @r"
    deployment.apps/web repointed, 3/3 ready
    statefulset.apps/cache repointed, 3/3 ready
    deployment.apps/cd repointed, 3/3 ready
    job.batch/once copied only: a Job's template cannot be changed
    deployment.apps/done unchanged
    ");
    insta::assert_snapshot!(lines(true, DryRun::Server), @r"
    deployment.apps/web repointed in prod, 3/3 ready (server dry run)
    statefulset.apps/cache repointed in prod, 3/3 ready (server dry run)
    deployment.apps/cd repointed in prod, 3/3 ready (server dry run)
    job.batch/once copied only in prod: a Job's template cannot be changed (server dry run)
    deployment.apps/done unchanged in prod (server dry run)
    ");
}

#[test]
fn what_a_restore_gives_back() {
    let kind = Kind::from_word("deploy").unwrap();
    let record = json!({"run": "a7f3", "slots": {"containers/main":
        {"original": "nginx:1.25", "target": "harbor.corp/mirror/nginx:1.25"}}});
    let object = json!({
        "metadata": {"name": "web", "namespace": "prod",
            "annotations": {"image-cloner.io/originals": record.to_string()}},
        "spec": {"template": {"spec": {"containers":
            [{"name": "main", "image": "harbor.corp/mirror/nginx:1.25"}]}}},
    });
    let workload = Workload::from_object(&kind, &object).unwrap();
    let plan = planning::restore(&[workload], None);
    insta::assert_snapshot!(restore(&plan, &Default::default(), "prod-eu"), @r"
    context prod-eu   back to what was there before

    deployment.apps/web in prod
      containers/main  nginx:1.25
    ");
}

#[test]
fn what_was_put_back_and_what_its_owners_have_to_change() {
    let mut outcome = outcome();
    let why = Failure::new("web-0 on node-7: x509: certificate signed by unknown authority")
        .hint("node-7 lacks the CA of harbor.corp");
    outcome.workloads[0].state = WorkloadState::PutBack(why);
    outcome.workloads[2].state =
        WorkloadState::CopiedOnly("would be reverted by Flux (apps)".into());
    outcome.workloads[2].owned = true;
    insta::assert_snapshot!(summary(&outcome), @r"
    run a7f3 finished in 3m12s with failures

    images      2 copied (142 MB), 1 present, 1 failed
    workloads   1 repointed, 1 restored, 1 failed, 2 copied only, 1 unchanged
    copied only 1: a Job's template cannot be changed
                1: would be reverted by Flux

    deployment.apps/web in prod restored: web-0 on node-7: x509: certificate signed by unknown authority
      hint: node-7 lacks the CA of harbor.corp
    deployment.apps/gone in prod failed: copying corp/api:9 to harbor.corp/mirror/corp/api:9: gone
      hint: pull it from somewhere else

    next    same command with -o kustomize   # for the manifests of the 1 owned
    retry   same command; finished work is not repeated
    undo    kubectl image-cloner restore --run a7f3 -n prod
    ");
    let report = super::report_file(&outcome);
    assert_eq!(report["workloads"][0]["state"], json!("putBack"));
    assert_eq!(outcome.exit_code(), 1);
}
