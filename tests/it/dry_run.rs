//! `--dry-run`: nothing is written anywhere.

use crate::bed::{Bed, idle};

#[test]
fn a_dry_run_writes_nothing_anywhere() {
    let Some(bed) = Bed::share("dry", false) else {
        return;
    };
    bed.apply(&idle("web", "nginx:1.21.4-alpine"));
    // nobody else writes it any more
    let settled = || {
        let object = bed.get("deploy/web");
        let mut conditions = object["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten();
        conditions.any(|it| it["reason"] == "NewReplicaSetAvailable")
            && object["metadata"]["generation"] == object["status"]["observedGeneration"]
    };
    bed.until("a settled deployment", settled);
    let before = bed.get("deploy/web");
    let secrets = bed.kubectl(&["get", "secrets", "-o", "name"]);
    let copy = format!("{}/nginx:1.21.4-alpine", bed.target());

    for (flag, label) in [("--dry-run", "client"), ("--dry-run=server", "server")] {
        let ran = bed.plugin(&["clone", "deploy/web", flag]).exits(0);
        assert_eq!(
            ran.stdout,
            format!("deployment.apps/web repointed ({label} dry run)\n")
        );
        let ran = bed
            .plugin(&["clone", "deploy/web", flag, "-o", "yaml"])
            .exits(0);
        assert!(ran.stdout.contains(&copy), "{}", ran.stdout);
        assert_eq!(bed.get("deploy/web"), before, "{flag}");
        assert_eq!(
            bed.kubectl(&["get", "secrets", "-o", "name"]),
            secrets,
            "{flag}"
        );
        assert_eq!(bed.writes("TARGET"), Vec::<String>::new(), "{flag}");
    }
    let none = bed
        .plugin(&["clone", "deploy/web", "--dry-run=none"])
        .exits(0);
    assert_eq!(none.stdout, "deployment.apps/web repointed\n");
}
