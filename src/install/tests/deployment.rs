//! The agent's Deployment, whole.

use super::*;

#[test]
#[allow(clippy::too_many_lines, reason = "it is the whole Deployment")]
fn the_agent_runs_as_nobody_with_nothing_to_write_to() {
    let settings = Settings {
        architectures: set(&["amd64", "arm64"]),
        pull_secret: Some("{}".to_owned().into()),
        replicas: 2,
        ..settings()
    };
    let deployment = objects(&settings).pop().unwrap();
    insta::assert_snapshot!(yaml(&[deployment]), @r#"
    apiVersion: apps/v1
    kind: Deployment
    metadata:
      annotations:
        image-cloner.io/skip: "true"
      labels:
        app: image-cloner
        app.kubernetes.io/managed-by: image-cloner
        app.kubernetes.io/name: image-cloner
      name: image-cloner
      namespace: image-cloner-system
    spec:
      replicas: 2
      revisionHistoryLimit: 3
      selector:
        matchLabels:
          app: image-cloner
      strategy:
        rollingUpdate:
          maxSurge: 1
          maxUnavailable: 0
        type: RollingUpdate
      template:
        metadata:
          labels:
            app: image-cloner
            app.kubernetes.io/managed-by: image-cloner
            app.kubernetes.io/name: image-cloner
        spec:
          affinity:
            nodeAffinity:
              requiredDuringSchedulingIgnoredDuringExecution:
                nodeSelectorTerms:
                - matchExpressions:
                  - key: kubernetes.io/arch
                    operator: In
                    values:
                    - amd64
                    - arm64
          automountServiceAccountToken: true
          containers:
          - args:
            - --metrics-bind-address=:8080
            - --health-probe-bind-address=:8081
            - --settings=/etc/image-cloner/config
            - --settings=/etc/image-cloner/credentials
            - --leader-elect
            env:
            - name: POD_NAME
              valueFrom:
                fieldRef:
                  fieldPath: metadata.name
            - name: POD_NAMESPACE
              valueFrom:
                fieldRef:
                  fieldPath: metadata.namespace
            - name: MALLOC_ARENA_MAX
              value: "1"
            - name: MALLOC_TRIM_THRESHOLD_
              value: "65536"
            image: localhost:5000/image-cloner.internal/agent@sha256:0a
            imagePullPolicy: IfNotPresent
            livenessProbe:
              httpGet:
                path: /healthz
                port: probes
              initialDelaySeconds: 1
              periodSeconds: 20
              timeoutSeconds: 5
            name: agent
            ports:
            - containerPort: 8080
              name: metrics
              protocol: TCP
            - containerPort: 8081
              name: probes
              protocol: TCP
            readinessProbe:
              httpGet:
                path: /readyz
                port: probes
              initialDelaySeconds: 1
              periodSeconds: 5
              timeoutSeconds: 5
            resources:
              limits:
                cpu: "1"
                memory: 256Mi
              requests:
                cpu: 10m
                memory: 32Mi
            securityContext:
              allowPrivilegeEscalation: false
              capabilities:
                drop:
                - ALL
              privileged: false
              readOnlyRootFilesystem: true
              runAsNonRoot: true
            terminationMessagePolicy: FallbackToLogsOnError
            volumeMounts:
            - mountPath: /etc/image-cloner/config
              name: config
              readOnly: true
            - mountPath: /etc/image-cloner/credentials
              name: credentials
              readOnly: true
          enableServiceLinks: false
          imagePullSecrets:
          - name: image-cloner-pull
          nodeSelector:
            kubernetes.io/os: linux
          securityContext:
            fsGroup: 65532
            runAsGroup: 65532
            runAsNonRoot: true
            runAsUser: 65532
            seccompProfile:
              type: RuntimeDefault
          serviceAccountName: image-cloner
          terminationGracePeriodSeconds: 40
          topologySpreadConstraints:
          - labelSelector:
              matchLabels:
                app: image-cloner
            maxSkew: 1
            topologyKey: kubernetes.io/hostname
            whenUnsatisfiable: ScheduleAnyway
          volumes:
          - configMap:
              name: image-cloner-config
            name: config
          - name: credentials
            secret:
              defaultMode: 288
              optional: true
              secretName: image-cloner-cr-login
    "#);
}
