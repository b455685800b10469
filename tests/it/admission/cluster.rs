//! The webhook as a real API server calls it.

use super::{complete, known, place, seen};
use crate::bed::{Bed, deployment, free_port, var};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image_cloner::cluster::{Cluster, ConnectFlags, PullSecret, WriteMode};
use image_cloner::credentials::Credentials;
use image_cloner::install::{self, Extra, LEADER, Secrets, Settings, WEBHOOK, WEBHOOK_PATH};
use image_cloner::plan::PullAccess;
use image_cloner::target::{Layout, TargetRegistry};
use image_cloner::watch::{Known, Metrics};
use image_cloner::webhook::{Place, Webhook};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const OURS: &str = "image-cloner-pull";
const NGINX: &str = "nginx:1.21.4-alpine";

/// A configuration on a test's own namespace, and webhooks that the API server calls by address.
struct Door {
    bed: Bed,
    name: String,
    runtime: Runtime,
    cluster: Cluster,
}

/// One webhook that runs.
struct Serving {
    address: SocketAddr,
    metrics: Metrics,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Door {
    fn new(name: &str, needs_node: bool) -> Option<Self> {
        let bed = Bed::share(name, needs_node)?;
        let name = format!("{WEBHOOK}-{}", bed.namespace);
        Some(Self::named(name, bed))
    }

    fn named(name: String, bed: Bed) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = Runtime::new().unwrap();
        let flags = ConnectFlags {
            namespace: Some(bed.namespace.clone()),
            ..ConnectFlags::default()
        };
        let cluster = Cluster::connect(&flags, WriteMode::Apply);
        let cluster = runtime.block_on(cluster).unwrap();
        Self {
            bed,
            name,
            runtime,
            cluster,
        }
    }

    fn place(&self) -> Place {
        place(&self.bed.namespace, &self.name, &["127.0.0.1"])
    }

    /// The configuration that is installed, for this namespace alone and by this address.
    fn configure(&self, address: SocketAddr) {
        let settings = Settings {
            image: String::new(),
            architectures: Default::default(),
            replicas: 1,
            config: Default::default(),
            login: Default::default(),
            pull_secret: None,
            secrets: Secrets::None,
            extras: [Extra::Webhook].into(),
        };
        let mut objects = install::objects(&settings).into_iter();
        let mut configuration = objects
            .find(|object| object["kind"] == "MutatingWebhookConfiguration")
            .unwrap();
        configuration["metadata"]["name"] = json!(self.name);
        let webhook = &mut configuration["webhooks"][0];
        // a machine under load may take longer than is well for a cluster
        webhook["timeoutSeconds"] = json!(30);
        webhook["clientConfig"] = json!({"url": format!("https://{address}{WEBHOOK_PATH}")});
        let only = json!({"key": "test", "operator": "In", "values": [self.bed.namespace]});
        let selector = &mut webhook["namespaceSelector"]["matchExpressions"];
        selector.as_array_mut().unwrap().push(only);
        let label = format!("test={}", self.bed.namespace);
        let namespace = format!("namespace/{}", self.bed.namespace);
        self.bed
            .kubectl(&["label", "--overwrite", &namespace, &label]);
        self.bed.apply(&configuration.to_string());
    }

    fn serve(&self, known: &Known, pod: Option<&str>) -> Serving {
        let listener = TcpListener::bind("127.0.0.1:0");
        let listener = self.runtime.block_on(listener).unwrap();
        let address = listener.local_addr().unwrap();
        let (metrics, stop) = (Metrics::default(), CancellationToken::new());
        let webhook = Webhook {
            listener,
            known: known.clone(),
            metrics: metrics.clone(),
            pod: pod.map(|name| (self.bed.namespace.clone(), name.to_owned())),
        };
        let (cluster, place, until) = (self.cluster.clone(), self.place(), stop.clone());
        let task = self
            .runtime
            .spawn(async move { webhook.run(cluster, place, &until).await });
        Serving {
            address,
            metrics,
            stop,
            task,
        }
    }

    /// What is known when this copy is, and the namespace's default ServiceAccount as one that gives nothing.
    fn known(&self, copy: &str) -> Known {
        let (namespace, target) = (&self.bed.namespace, self.bed.target());
        self.bed.plugin(&["copy", copy, "--to", &target]).exits(0);
        let (repository, tag) = copy.split_once(':').unwrap();
        let path = format!("{namespace}/{repository}");
        let digest = self.bed.digest("TARGET", &path, tag).unwrap();
        let known = known(&target, PullAccess::Secret(OURS.to_owned()));
        complete(&known, &format!("{target}/{copy}"), &digest, namespace);
        seen(&known, &target, namespace);
        let credentials = Credentials::Basic {
            username: var("PULL_USER"),
            password: var("PULL_PASS").into(),
        };
        let key = target.clone();
        let wanted = PullSecret { key, credentials };
        let secret = self.cluster.ensure_pull_secret(namespace, OURS, &wanted);
        self.runtime.block_on(secret).unwrap();
        let target = TargetRegistry::parse(&target, Layout::Mirror).unwrap();
        known.pull_secret(&target, namespace);
        known
    }

    /// Waits until the API server asks the webhook and trusts it.
    fn opened(&self, copy: &str) {
        let probe = deployment("probe", &[("a", copy)], &[]);
        let file = self.bed.folder().join("probe.yaml");
        std::fs::write(&file, probe).unwrap();
        let file = file.to_str().unwrap();
        let target = self.bed.target();
        self.bed.until("the API server asks the webhook", || {
            let args = ["create", "--dry-run=server", "-o", "yaml", "-f", file];
            self.bed
                .kubectl(&args)
                .contains(&format!("{target}/{copy}"))
        });
    }

    fn try_kubectl(&self, args: &[&str]) -> Output {
        let mut kubectl = Command::new("kubectl");
        kubectl.args(["-n", &self.bed.namespace]).args(args);
        kubectl.output().unwrap()
    }

    fn bundle(&self) -> String {
        let configuration = self
            .bed
            .get(&format!("mutatingwebhookconfiguration/{}", self.name));
        let bundle = configuration["webhooks"][0]["clientConfig"]["caBundle"].as_str();
        String::from_utf8(STANDARD.decode(bundle.unwrap_or_default()).unwrap()).unwrap()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let configuration = format!("mutatingwebhookconfiguration/{}", self.name);
        self.try_kubectl(&["delete", "--ignore-not-found", &configuration]);
    }
}

impl Serving {
    fn end(self, door: &Door) {
        self.stop.cancel();
        door.runtime.block_on(self.task).unwrap();
    }
}

fn image(object: &Value) -> &Value {
    let pod = object
        .pointer("/spec/template/spec")
        .unwrap_or(&object["spec"]);
    &pod["containers"][0]["image"]
}

#[test]
fn a_deployment_whose_copy_is_known_rolls_out_once_and_from_the_copy() {
    let Some(door) = Door::new("admitted", true) else {
        return;
    };
    let (bed, target) = (&door.bed, door.bed.target());
    let serving = door.serve(&door.known(NGINX), None);
    door.configure(serving.address);
    door.opened(NGINX);

    let manifest = deployment("web", &[("a", NGINX)], &[]);
    bed.apply(&manifest);
    bed.rolled_out("deploy/web");
    let web = bed.get("deploy/web");
    assert_eq!(*image(&web), json!(format!("{target}/{NGINX}")));
    assert_eq!(web["metadata"]["generation"], 1);
    assert_eq!(
        web["spec"]["template"]["spec"]["imagePullSecrets"],
        json!([{"name": OURS}])
    );
    assert_eq!(bed.get("replicasets")["items"].as_array().unwrap().len(), 1);
    assert_eq!(serving.metrics.admitted.get(), 1);

    // nothing is left to the plugin, or to the loop
    bed.plugin(&["status", "deploy/web", "--exit-code"])
        .exits(0);
    bed.plugin(&["clone", "deploy/web"]).exits(0);
    assert_eq!(bed.get("deploy/web")["metadata"]["generation"], 1);

    // the same manifest again is no change, and whoever takes the image back hears why it stays
    bed.apply(&manifest);
    let answer = door.try_kubectl(&["set", "image", "deploy/web", &format!("a={NGINX}")]);
    let said = String::from_utf8(answer.stderr).unwrap();
    assert!(
        said.contains("Warning: image-cloner: containers/a stays at "),
        "{said}"
    );
    let still = bed.get("deploy/web");
    assert_eq!(still["spec"], web["spec"]);
    assert_eq!(bed.get("replicasets")["items"].as_array().unwrap().len(), 1);
    // but it is counted, as without a webhook
    let count = &still["metadata"]["annotations"]["image-cloner.io/reclaimed"];
    assert!(count.as_str().unwrap().contains("\"count\":2"), "{still:#}");

    // a restore stays one
    bed.plugin(&["restore", "deploy/web"]).exits(0);
    let web = bed.get("deploy/web");
    assert_eq!(*image(&web), json!(NGINX));
    assert_eq!(
        web["spec"]["template"]["spec"]["imagePullSecrets"],
        Value::Null
    );
    bed.kubectl(&["annotate", "deploy/web", "a=b"]);
    assert_eq!(*image(&bed.get("deploy/web")), json!(NGINX));
    serving.end(&door);
}

#[test]
fn what_cannot_be_changed_later_is_repointed_as_it_is_made() {
    let Some(door) = Door::new("once", true) else {
        return;
    };
    let (bed, target) = (&door.bed, door.bed.target());
    let serving = door.serve(&door.known("busybox:1.36"), None);
    door.configure(serving.address);
    door.opened("busybox:1.36");
    let copy = json!(format!("{target}/busybox:1.36"));
    let spec = "restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers: [{name: a, image: 'busybox:1.36', command: ['true']}]";

    bed.apply(&format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: bare}}\nspec:\n  {spec}\n"
    ));
    let pod = bed.get("pod/bare");
    assert_eq!(*image(&pod), copy);
    assert_eq!(pod["spec"]["imagePullSecrets"], json!([{"name": OURS}]));
    let job = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: once}\nspec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: 'busybox:1.36', command: ['true']}]}}}\n";
    bed.apply(job);
    assert_eq!(*image(&bed.get("job/once")), copy);
    bed.until("both end", || {
        let ended = |what: &str| bed.get(what)["status"].clone();
        ended("pod/bare")["phase"] == "Succeeded" && ended("job/once")["succeeded"] == 1
    });

    // of the job's own pod nothing was changed
    let pods = bed.get("pods");
    let pods = pods["items"].as_array().unwrap();
    let records = pods.iter().filter(|pod| {
        let annotations = &pod["metadata"]["annotations"];
        annotations["image-cloner.io/originals"].is_string()
    });
    assert_eq!(records.count(), 1);
    serving.end(&door);
}

#[test]
fn what_is_not_known_or_belongs_to_others_is_made_as_it_is() {
    let Some(door) = Door::new("asitis", false) else {
        return;
    };
    let bed = &door.bed;
    let known = door.known(NGINX);
    let serving = door.serve(&known, None);
    door.configure(serving.address);
    door.opened(NGINX);

    bed.apply(&deployment("unknown", &[("a", "busybox:1.36")], &[]));
    assert_eq!(*image(&bed.get("deploy/unknown")), json!("busybox:1.36"));
    bed.apply(&deployment(
        "mixed",
        &[("a", NGINX), ("b", "busybox:1.36")],
        &[],
    ));
    assert_eq!(*image(&bed.get("deploy/mixed")), json!(NGINX));

    let file = bed.folder().join("applied.yaml");
    std::fs::write(&file, deployment("applied", &[("a", NGINX)], &[])).unwrap();
    let file = file.to_str().unwrap();
    bed.kubectl(&["apply", "--server-side", "-f", file]);
    assert_eq!(*image(&bed.get("deploy/applied")), json!(NGINX));

    let skipped = deployment("skipped", &[("a", NGINX)], &[]).replace(
        "metadata: {name: skipped}",
        "metadata: {name: skipped, labels: {image-cloner.io/skip: 'true'}}",
    );
    bed.apply(&skipped);
    assert_eq!(*image(&bed.get("deploy/skipped")), json!(NGINX));

    known.set_terms(None);
    bed.apply(&deployment("held", &[("a", NGINX)], &[]));
    assert_eq!(*image(&bed.get("deploy/held")), json!(NGINX));
    // what was only looked at was the API server's question, not its trouble
    assert_eq!(serving.metrics.admitted.get(), 0);
    serving.end(&door);
}

#[test]
fn nothing_is_kept_from_being_made_while_the_webhook_is_down() {
    let Some(door) = Door::new("down", false) else {
        return;
    };
    let bed = &door.bed;
    let serving = door.serve(&door.known(NGINX), None);
    door.configure(serving.address);
    door.opened(NGINX);
    serving.end(&door);

    bed.apply(&deployment("refused", &[("a", NGINX)], &[]));
    assert_eq!(*image(&bed.get("deploy/refused")), json!(NGINX));

    // somebody who takes connections and says nothing
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}{WEBHOOK_PATH}", mute.local_addr().unwrap());
    let patch = json!([{"op": "replace", "path": "/webhooks/0/timeoutSeconds", "value": 1},
                       {"op": "replace", "path": "/webhooks/0/clientConfig/url", "value": url}]);
    let patch = patch.to_string();
    let configuration = format!("mutatingwebhookconfiguration/{}", door.name);
    bed.kubectl(&["patch", &configuration, "--type=json", "-p", &patch]);
    bed.apply(&deployment("unanswered", &[("a", NGINX)], &[]));
    assert_eq!(*image(&bed.get("deploy/unanswered")), json!(NGINX));
    drop(mute);
}

#[test]
fn of_two_replicas_one_is_asked_and_both_show_the_same_certificate() {
    let Some(door) = Door::new("replicas", false) else {
        return;
    };
    let bed = &door.bed;
    for name in ["one", "two"] {
        // nothing runs it, nor takes it away as a pod of no node
        bed.apply(&format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: x}}}}\nspec: {{schedulerName: none, containers: [{{name: a, image: x}}]}}\n"));
    }
    let known = door.known(NGINX);
    let first = door.serve(&known, Some("one"));
    door.configure(first.address);
    let asked = || {
        let (label, value) = LEADER;
        bed.kubectl(&[
            "get",
            "pods",
            "-l",
            &format!("{label}={value}"),
            "-o",
            "name",
        ])
    };
    bed.until("the first is asked", || asked() == "pod/one\n");
    door.opened(NGINX);
    let bundle = door.bundle();

    // the first is told a little late that it does not lead any more
    let second = door.serve(&known, Some("two"));
    bed.until("the second is asked", || asked() == "pod/two\n");
    first.end(&door);
    door.configure(second.address);
    door.opened(NGINX);
    assert_eq!(door.bundle(), bundle);
    assert_eq!(bundle.matches("BEGIN CERTIFICATE").count(), 1);
    bed.apply(&deployment("web", &[("a", NGINX)], &[]));
    assert_eq!(
        *image(&bed.get("deploy/web")),
        json!(format!("{}/{NGINX}", bed.target()))
    );
    second.end(&door);
}

/// An agent that ends with the test.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_agent_repoints_what_is_made_once_it_saw_nodes_pull() {
    let Some(bed) = Bed::share("agentdoor", true) else {
        return;
    };
    // the agent's own name of it: there is one in a cluster
    let _alone = bed.alone();
    let door = Door::named(WEBHOOK.to_owned(), bed);
    let (bed, target) = (&door.bed, door.bed.target());
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let log = bed.folder().join("agent.log");
    let mut agent = Command::new(env!("CARGO_BIN_EXE_image-cloner-agent"));
    agent
        .args(["--metrics-bind-address=0", "--health-probe-bind-address=0"])
        .args(["--leader-elect=false", "--webhook-bind-address"])
        .arg(address.to_string())
        .env_clear()
        .env("HOME", bed.folder())
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("KUBECONFIG", std::env::var_os("KUBECONFIG").unwrap())
        .env("POD_NAMESPACE", &bed.namespace)
        .env("IMAGE_CLONER_CONFIG", var("CONFIG"))
        .env("IMAGE_CLONER_REGISTRY", &target)
        .env("IMAGE_CLONER_USER", var("TARGET_USER"))
        .env("IMAGE_CLONER_PASS", var("TARGET_PASS"))
        .env("IMAGE_CLONER_PULL_USER", var("PULL_USER"))
        .env("IMAGE_CLONER_PULL_PASS", var("PULL_PASS"))
        .env("IMAGE_CLONER_NAMESPACES", &bed.namespace)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log).unwrap());
    door.configure(address);
    let _agent = Agent(agent.spawn().unwrap());

    // the first one is the loop's
    bed.apply(&deployment("first", &[("a", NGINX)], &[]));
    let copy = json!(format!("{target}/{NGINX}"));
    bed.until("the first is repointed", || {
        *image(&bed.get("deploy/first")) == copy
    });
    door.opened(NGINX);
    bed.apply(&deployment("second", &[("a", NGINX)], &[]));
    let second = bed.get("deploy/second");
    let log = || std::fs::read_to_string(&log).unwrap();
    assert_eq!(*image(&second), copy, "{}", log());
    bed.rolled_out("deploy/second");
    assert_eq!(bed.get("deploy/second")["metadata"]["generation"], 1);
    let said = "updating deployment image on admission";
    assert_eq!(log().matches(said).count(), 1, "{}", log());

    // a restore stays one, before both
    bed.plugin(&["restore", "deploy/second"]).exits(0);
    assert_eq!(*image(&bed.get("deploy/second")), json!(NGINX));
}
