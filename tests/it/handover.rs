//! Agents as bare processes on one Lease: who works, how work passes on, and what each shows of it.

use crate::bed::{Agent, Bed, Cable, Gate, idle, image, var};
use serde_json::Value;

const SOURCE: &str = "busybox:1.36";

fn is_copy(bed: &Bed) -> impl Fn(&Value) -> bool {
    let copy = format!("{}/{SOURCE}", bed.target());
    move |web| image(web) == copy
}

fn apply(bed: &Bed, name: &str) {
    bed.apply(&idle(name, SOURCE));
}

/// Two agents, of which the first leads. Docker Hub is behind a gate for the first.
fn pair<'a>(bed: &'a Bed, gate: &Gate, other: &[(&str, &str)]) -> (Agent<'a>, Agent<'a>) {
    let config = bed.config(&[("docker.io", gate.address())]);
    let one = bed.candidate("one", &[("CONFIG", config.to_str().expect("UTF-8"))]);
    one.says(&["leading", "one_"]);
    let other = bed.candidate("other", other);
    other.says(&["the lease has a new holder", "one_"]);
    (one, other)
}

#[test]
fn work_passes_on_when_the_leader_is_killed_and_nothing_is_lost() {
    let Some(bed) = Bed::share("killed", true) else {
        return;
    };
    let gate = Gate::before(var("DOCKER_IO"));
    let (mut one, other) = pair(&bed, &gate, &[]);
    apply(&bed, "web");
    gate.knocked();
    apply(&bed, "another");
    one.signal("KILL");
    assert_eq!(one.ends(), None);
    other.until("deploy/web", is_copy(&bed));
    other.until("deploy/another", is_copy(&bed));
    assert_eq!(bed.get("lease/image-cloner")["spec"]["leaseTransitions"], 1);
    other.figure("terms_total", "1");
}

#[test]
fn a_leader_that_was_frozen_writes_nothing_when_it_wakes() {
    let Some(bed) = Bed::share("frozen", true) else {
        return;
    };
    let gate = Gate::before(var("DOCKER_IO"));
    // the other only copies, so that whatever is repointed was by the first
    let (one, other) = pair(&bed, &gate, &[("MODE", "copy")]);
    apply(&bed, "web");
    gate.knocked();
    one.signal("STOP");
    // what it waits for is there when it wakes
    gate.open();
    other.says(&["leading", "other_"]);
    other.says(&["deployment image cloned"]);
    let before = bed.get("deploy/web");
    one.signal("CONT");
    one.says(&["leading no more"]);
    one.says(&["the lease has a new holder", "other_"]);
    one.figure("leading", "0");
    let after = bed.get("deploy/web");
    assert_eq!(image(&after), SOURCE);
    assert_eq!(
        after["metadata"]["generation"],
        before["metadata"]["generation"]
    );
    assert_eq!(
        one.count(&["updating deployment image"]),
        0,
        "{}",
        one.log()
    );
}

#[test]
fn a_leader_that_is_told_to_stop_ends_its_copy_and_hands_over() {
    let Some(bed) = Bed::share("stopped", true) else {
        return;
    };
    let gate = Gate::before(var("DOCKER_IO"));
    let (mut one, other) = pair(&bed, &gate, &[]);
    apply(&bed, "web");
    gate.knocked();
    one.signal("TERM");
    one.says(&["stopping"]);
    gate.open();
    assert_eq!(one.ends(), Some(0), "{}", one.log());
    // it was given up, not waited for
    other.says(&["the lease has a new holder", "holder=\"nobody\""]);
    other.until("deploy/web", is_copy(&bed));
    // the second found the first one's copy
    assert_eq!(one.count(&["deployment image cloned"]), 1, "{}", one.log());
    let uploads = bed.writes("TARGET");
    let puts = uploads.iter().filter(|line| line.contains("\"PUT "));
    let uploads = puts.filter(|line| line.contains("digest=sha256"));
    let mut uploads: Vec<_> = uploads
        .filter_map(|line| line.split_once("digest=")?.1.split([' ', '&']).next())
        .collect();
    let all = uploads.len();
    uploads.sort_unstable();
    uploads.dedup();
    assert_eq!(uploads.len(), all, "a blob was sent twice");
}

/// What a process says whose work was not over in time.
const LEFT: &str = "what is still under way is left";

#[test]
fn who_only_waits_ends_at_once_when_told_to_stop() {
    let Some(bed) = Bed::share("waiting", true) else {
        return;
    };
    for is_paused in [false, true] {
        let mut agent = bed.candidate("one", &[]);
        agent.says(&["leading"]);
        // until the next try, or until it is no longer held
        let (name, image) = if is_paused {
            let paused = "image-cloner.io/paused=true";
            bed.kubectl(&["annotate", "lease/image-cloner", paused]);
            agent.figure("paused", "1");
            ("held", SOURCE)
        } else {
            ("failed", "busybox:none")
        };
        bed.apply(&idle(name, image));
        if is_paused {
            agent.figure("workloads_waiting", "2");
        } else {
            agent.figure("images_failing", "1");
        }
        agent.signal("TERM");
        assert_eq!(agent.ends(), Some(0), "{}", agent.log());
        assert_eq!(agent.count(&[LEFT]), 0, "{}", agent.log());
        let lease = bed.get("lease/image-cloner");
        assert_eq!(lease["spec"]["holderIdentity"], "");
    }
}

#[test]
fn a_copy_that_does_not_end_in_time_is_left_to_who_leads_next() {
    let Some(bed) = Bed::share("too-long", true) else {
        return;
    };
    let gate = Gate::before(var("DOCKER_IO"));
    let (mut one, other) = pair(&bed, &gate, &[]);
    apply(&bed, "web");
    gate.knocked();
    one.signal("TERM");
    assert_eq!(one.ends(), Some(0), "{}", one.log());
    assert_eq!(one.count(&[LEFT]), 1, "{}", one.log());
    other.says(&["the lease has a new holder", "holder=\"nobody\""]);
    other.until("deploy/web", is_copy(&bed));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let Some(bed) = Bed::share("at-once", true) else {
        return;
    };
    let gate = Gate::before(var("DOCKER_IO"));
    let config = bed.config(&[("docker.io", gate.address())]);
    let mut agent = bed.agent(&[("CONFIG", config.to_str().expect("UTF-8"))]);
    apply(&bed, "web");
    gate.knocked();
    agent.signal("TERM");
    agent.says(&["stopping"]);
    agent.signal("TERM");
    assert_eq!(agent.ends(), Some(143), "{}", agent.log());
}

#[test]
fn a_leader_that_lost_its_api_server_leaves_the_work_to_the_other() {
    let Some(bed) = Bed::share("cut-off", true) else {
        return;
    };
    let server = var("ADMIN_SERVER");
    let cable = Cable::to(server.trim_start_matches("https://").to_owned());
    let kubeconfig = bed.kubeconfig_at(&format!("https://{}", cable.address()));

    let one = bed.candidate_as(&kubeconfig, "one", &[]);
    one.says(&["leading", "one_"]);
    let other = bed.candidate("other", &[]);
    other.says(&["the lease has a new holder", "one_"]);
    cable.cut();
    one.says(&["leading no more", "could not be renewed"]);
    assert_eq!(
        other.count(&["leading"]),
        0,
        "it began before the other had ended:\n{}",
        other.log()
    );
    let (code, why) = one.answers("probes", "/readyz");
    assert!(code == "503" && why.contains("lease: "), "{code} {why}");
    other.says(&["leading", "other_"]);
    apply(&bed, "web");
    other.until("deploy/web", is_copy(&bed));
    cable.mend();
    one.says(&["the lease has a new holder", "other_"]);
    one.figure("lease_failing", "0");
    let (code, why) = one.answers("probes", "/readyz");
    assert_eq!((code.as_str(), why.as_str()), ("200", "ok\n"));
}

#[test]
fn a_pause_holds_the_work_until_it_is_over() {
    let Some(bed) = Bed::share("paused", true) else {
        return;
    };
    let agent = bed.candidate("one", &[]);
    agent.says(&["leading"]);
    bed.kubectl(&[
        "annotate",
        "lease/image-cloner",
        "image-cloner.io/paused=true",
    ]);
    agent.figure("paused", "1");
    apply(&bed, "web");
    agent.figure("workloads_waiting", "1");
    assert_eq!(bed.writes("TARGET"), [""; 0]);
    assert_eq!(image(&bed.get("deploy/web")), SOURCE);
    bed.kubectl(&["annotate", "lease/image-cloner", "image-cloner.io/paused-"]);
    agent.until("deploy/web", is_copy(&bed));
    agent.figure("paused", "0");
}

#[test]
fn probes_and_figures_tell_who_works() {
    let Some(bed) = Bed::share("probes", true) else {
        return;
    };
    let one = bed.candidate("one", &[]);
    one.figure("leading", "1");
    let other = bed.candidate("other", &[]);
    other.says(&["the lease has a new holder", "one_"]);
    apply(&bed, "web");
    one.figure("workloads", "1");
    one.figure("repoints_total{result=\"ok\"}", "1");
    one.figure("copies_total{result=\"ok\"}", "1");
    for agent in [&one, &other] {
        agent.figure("ready", "1");
        for path in ["/healthz", "/readyz"] {
            let (code, body) = agent.answers("probes", path);
            assert_eq!((code.as_str(), body.as_str()), ("200", "ok\n"), "{path}");
        }
    }
    other.figure("leading", "0");
    other.figure("workloads", "0");
    assert_eq!(one.answers("probes", "/metrics").0, "404");
}
