# shellcheck shell=bash
# etcd, kube-apiserver, kube-controller-manager and kube-scheduler on loopback,
# with certificates of the bed's own and kubeconfigs for each part. The
# administrator's kubeconfig is DIR/kubeconfig, its context `testbed`. Never
# touches the user's own kubeconfig.

kube_minor() {
	"$KUBE_BIN/kube-apiserver" --version | sed -n 's/^Kubernetes v1\.\([0-9]*\)\..*/\1/p'
}

# certificate NAME SUBJECT [SAN]
certificate() {
	local pki=$BED_DIR/pki usage=clientAuth
	[ -z "${3:-}" ] || usage=serverAuth,clientAuth
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$pki/$1.key" \
		-subj "$2" -out "$pki/$1.csr" 2>>"$BED_LOGS/openssl.log"
	openssl x509 -req -in "$pki/$1.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -CAcreateserial -days 30 \
		-extfile <(
			echo "keyUsage=critical,digitalSignature"
			echo "extendedKeyUsage=$usage"
			[ -z "${3:-}" ] || echo "subjectAltName=$3"
		) -out "$pki/$1.crt" 2>>"$BED_LOGS/openssl.log"
	rm -f "$pki/$1.csr"
}

certificates() {
	local pki=$BED_DIR/pki
	mkdir -m 700 "$pki"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -keyout "$pki/ca.key" \
		-subj /CN=testbed-ca -out "$pki/ca.crt" -addext basicConstraints=critical,CA:true \
		-addext keyUsage=critical,keyCertSign,cRLSign 2>>"$BED_LOGS/openssl.log"
	openssl genrsa -out "$pki/service-account.key" 2048 2>>"$BED_LOGS/openssl.log"
	certificate apiserver /CN=kube-apiserver \
		"DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:$GATEWAY,IP:$SERVICE_API"
	certificate kubelet-client /O=system:masters/CN=apiserver-kubelet-client
	certificate admin /O=system:masters/CN=testbed-admin
	certificate manager /CN=system:kube-controller-manager
	certificate scheduler /CN=system:kube-scheduler
	certificate node "/O=system:nodes/CN=system:node:$NODE_NAME"
	certificate aggregator /CN=aggregator
}

# kubeconfig CERTIFICATE FILE
kubeconfig() {
	local pki=$BED_DIR/pki
	cat >"$2" <<-END
		apiVersion: v1
		kind: Config
		current-context: testbed
		contexts:
		- name: testbed
		  context: {cluster: testbed, user: $1}
		clusters:
		- name: testbed
		  cluster:
		    server: https://127.0.0.1:$PORT_API
		    certificate-authority-data: $(base64 -w0 "$pki/ca.crt")
		users:
		- name: $1
		  user:
		    client-certificate-data: $(base64 -w0 "$pki/$1.crt")
		    client-key-data: $(base64 -w0 "$pki/$1.key")
	END
	chmod 600 "$2"
}

kubectl_bed() { kubectl --kubeconfig "$BED_DIR/kubeconfig" "$@"; }

etcd_start() {
	local program=etcd
	[ ! -x "$KUBE_BIN/etcd" ] || program=$KUBE_BIN/etcd
	# A test's data need not outlive a power cut: let the disk be. It waits for a request 5 s and twice the
	# election time-out; who is alone elects himself at once.
	start etcd "$program" --data-dir "$BED_DIR/etcd" --name testbed --unsafe-no-fsync \
		--heartbeat-interval 1000 --election-timeout 10000 \
		--listen-client-urls "http://127.0.0.1:$PORT_ETCD" --advertise-client-urls "http://127.0.0.1:$PORT_ETCD" \
		--listen-peer-urls "http://127.0.0.1:$PORT_ETCD_PEER" \
		--initial-advertise-peer-urls "http://127.0.0.1:$PORT_ETCD_PEER" \
		--initial-cluster "testbed=http://127.0.0.1:$PORT_ETCD_PEER"
}

# The command of an API server at this port of loopback, in APISERVER.
apiserver_command() { # PORT
	local pki=$BED_DIR/pki
	APISERVER=(
		"$KUBE_BIN/kube-apiserver"
		--etcd-servers "http://127.0.0.1:$PORT_ETCD"
		--bind-address 127.0.0.1 --secure-port "$1" --advertise-address "$GATEWAY"
		--service-cluster-ip-range "$SERVICE_RANGE"
		--cert-dir "$pki/own"
		--tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key"
		--client-ca-file "$pki/ca.crt"
		--kubelet-client-certificate "$pki/kubelet-client.crt" --kubelet-client-key "$pki/kubelet-client.key"
		--kubelet-preferred-address-types InternalIP
		--service-account-issuer https://kubernetes.default.svc
		--service-account-key-file "$pki/service-account.key"
		--service-account-signing-key-file "$pki/service-account.key"
		--requestheader-client-ca-file "$pki/ca.crt" --requestheader-allowed-names aggregator
		--requestheader-extra-headers-prefix X-Remote-Extra- --requestheader-group-headers X-Remote-Group
		--requestheader-username-headers X-Remote-User
		--proxy-client-cert-file "$pki/aggregator.crt" --proxy-client-key-file "$pki/aggregator.key"
		--enable-aggregator-routing=true
		--authorization-mode "Node,RBAC" --enable-admission-plugins "NodeRestriction,ServiceAccount"
		--allow-privileged=true --profiling=false
		--max-requests-inflight 2000 --max-mutating-requests-inflight 1000
	)
}

apiserver_start() {
	apiserver_command "$PORT_API"
	start apiserver "${APISERVER[@]}"
}

manager_start() {
	local pki=$BED_DIR/pki old=()
	[ "$KUBE_MINOR" -ge 24 ] || old=(--port 0)
	start manager "$KUBE_BIN/kube-controller-manager" \
		--kubeconfig "$BED_DIR/manager.kubeconfig" --bind-address 127.0.0.1 --secure-port "$PORT_MANAGER" \
		--cert-dir "$pki/own" --leader-elect=false --use-service-account-credentials=true \
		--root-ca-file "$pki/ca.crt" --service-account-private-key-file "$pki/service-account.key" \
		--cluster-signing-cert-file "$pki/ca.crt" --cluster-signing-key-file "$pki/ca.key" \
		--flex-volume-plugin-dir "$BED_DIR/volume-plugins" \
		--kube-api-qps 200 --kube-api-burst 400 --profiling=false "${old[@]}"
}

scheduler_start() {
	local old=()
	[ "$KUBE_MINOR" -ge 24 ] || old=(--port 0)
	start scheduler "$KUBE_BIN/kube-scheduler" \
		--kubeconfig "$BED_DIR/scheduler.kubeconfig" --bind-address 127.0.0.1 --secure-port "$PORT_SCHEDULER" \
		--cert-dir "$BED_DIR/pki/own" --leader-elect=false --kube-api-qps 200 --kube-api-burst 400 \
		--profiling=false "${old[@]}"
}

control_plane_start() {
	KUBE_MINOR=$(kube_minor)
	mkdir -m 700 "$BED_DIR/etcd"
	certificates
	kubeconfig admin "$BED_DIR/kubeconfig"
	kubeconfig manager "$BED_DIR/manager.kubeconfig"
	kubeconfig scheduler "$BED_DIR/scheduler.kubeconfig"
	kubeconfig node "$BED_DIR/node.kubeconfig"
	etcd_start
	wait_for 20 etcd etcd port_taken "$PORT_ETCD"
	apiserver_start
}

# The rest, once the apiserver answers.
control_plane_finish() {
	wait_for 60 apiserver "the apiserver" kubectl_bed get --raw /readyz
	KUBE_VERSION_RUNNING=$("$KUBE_BIN/kube-apiserver" --version | sed 's/.* //')
	say "the apiserver ($KUBE_VERSION_RUNNING) is ready at https://127.0.0.1:$PORT_API"
	if [ -x "$KUBE_BIN/kube-controller-manager" ]; then
		manager_start
	else
		say "no kube-controller-manager in $KUBE_BIN: Deployments will make no pods"
	fi
	if [ -x "$KUBE_BIN/kube-scheduler" ]; then
		scheduler_start
	else
		say "no kube-scheduler in $KUBE_BIN: pods will not be placed"
	fi
}

# Pods can be made in the namespace default.
control_plane_await() {
	[ -x "$KUBE_BIN/kube-controller-manager" ] || return 0
	wait_for 30 manager "the default ServiceAccount" kubectl_bed get -n default serviceaccount default
}

control_plane_stop() {
	stop scheduler 5
	stop manager 5
	stop apiserver 5
	stop etcd 5
}
