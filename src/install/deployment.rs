//! The agent's Deployment.
//!
//! Decides how it runs: as nobody, with nothing to write to, and with little.

use super::{CONFIG, Extra, LOGIN, NAME, Settings, labels, object, selector};
use crate::workload::PULL_SECRET;
use serde_json::{Value, json};

/// An id that no image and no system uses.
const NOBODY: u32 = 65532;

pub(super) fn object_of(settings: &Settings) -> Value {
    let mut deployment = object("apps/v1", "Deployment", NAME);
    // it is no workload to clone: its image is in the target already
    deployment["metadata"]["annotations"] = json!({"image-cloner.io/skip": "true"});
    deployment["spec"] = json!({
        "replicas": settings.replicas,
        "revisionHistoryLimit": 3,
        "selector": {"matchLabels": selector()},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": {
            "metadata": {"labels": labels()},
            "spec": pod(settings),
        },
    });
    deployment
}

fn pod(settings: &Settings) -> Value {
    let mut pod = json!({
        "serviceAccountName": NAME,
        "automountServiceAccountToken": true,
        "enableServiceLinks": false,
        // what it copies when it is told to end may be finished
        "terminationGracePeriodSeconds": 40,
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": NOBODY,
            "runAsGroup": NOBODY,
            "fsGroup": NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [{
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selector()},
        }],
        "containers": [container(settings)],
        "volumes": [
            {"name": "config", "configMap": {"name": CONFIG}},
            // not there where the target asks for no credentials
            {"name": "credentials", "secret": {"secretName": LOGIN, "optional": true, "defaultMode": 0o440}},
        ],
    });
    if !settings.architectures.is_empty() {
        pod["affinity"] = json!({"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{
                "matchExpressions": [{
                    "key": "kubernetes.io/arch",
                    "operator": "In",
                    "values": settings.architectures,
                }],
            }]},
        }});
    }
    if settings.pull_secret.is_some() {
        pod["imagePullSecrets"] = json!([{"name": PULL_SECRET}]);
    }
    pod
}

fn container(settings: &Settings) -> Value {
    let mut args = vec![
        "--metrics-bind-address=:8080",
        "--health-probe-bind-address=:8081",
        "--settings=/etc/image-cloner/config",
        "--settings=/etc/image-cloner/credentials",
        "--leader-elect",
    ];
    let mut ports = vec![port("metrics", 8080), port("probes", 8081)];
    if settings.has(Extra::Webhook) {
        args.push("--webhook-bind-address=:9443");
        ports.push(port("webhook", 9443));
    }
    json!({
        "name": "agent",
        "image": settings.image,
        "imagePullPolicy": "IfNotPresent",
        "args": args,
        "env": [
            field("POD_NAME", "metadata.name"),
            field("POD_NAMESPACE", "metadata.namespace"),
            // glibc gives each thread memory of its own, and little of it back (mallopt(3))
            {"name": "MALLOC_ARENA_MAX", "value": "1"},
            {"name": "MALLOC_TRIM_THRESHOLD_", "value": "65536"},
        ],
        "ports": ports,
        "livenessProbe": probe("/healthz", 20),
        "readinessProbe": probe("/readyz", 5),
        "resources": {
            "requests": {"cpu": "10m", "memory": "32Mi"},
            "limits": {"cpu": "1", "memory": "256Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "privileged": false,
            "readOnlyRootFilesystem": true,
            "runAsNonRoot": true,
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/image-cloner/config", "readOnly": true},
            {"name": "credentials", "mountPath": "/etc/image-cloner/credentials", "readOnly": true},
        ],
    })
}

fn port(name: &str, number: u16) -> Value {
    json!({"name": name, "containerPort": number, "protocol": "TCP"})
}

fn field(name: &str, path: &str) -> Value {
    json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}})
}

fn probe(path: &str, period: u32) -> Value {
    json!({
        "httpGet": {"path": path, "port": "probes"},
        "initialDelaySeconds": 1,
        "periodSeconds": period,
        "timeoutSeconds": 5,
    })
}
