{{/* No chart version among the labels: KServe copies them to pods, and every upgrade would restart all pods. */}}
{{- define "rapt.labels" -}}
app.kubernetes.io/name: rapt
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: rapt
{{- end }}

{{/* Takes {root, component}. */}}
{{- define "rapt.selector" -}}
{app.kubernetes.io/instance: {{ .root.Release.Name }}, app.kubernetes.io/component: {{ .component }}}
{{- end }}

{{- define "rapt.restricted" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Takes {root, component}: the fields of KServe's component and of its pod, but for containers and volumes. */}}
{{- define "rapt.component" -}}
{{- $values := .root.Values -}}
{{- $own := get $values .component -}}
{{- if gt (int $own.minReplicas) (int $own.maxReplicas) }}
{{- fail (printf "%s.minReplicas is %v, over maxReplicas %v" .component $own.minReplicas $own.maxReplicas) }}
{{- end -}}
{{- $rps := eq $own.scaleMetric "rps" -}}
{{- if and $rps (not $values.keda.prometheus) }}
{{- fail (printf "%s.scaleMetric is rps, which is read from keda.prometheus: set that" .component) }}
{{- end -}}
{{- if and (not $rps) (gt (int $own.scaleTarget) 100) }}
{{- fail (printf "%s.scaleTarget is %v percent of %s, over 100" .component $own.scaleTarget $own.scaleMetric) }}
{{- end -}}
{{- $scaled := gt (int $own.maxReplicas) (int $own.minReplicas) -}}
labels:
  {{- include "rapt.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .component }}
annotations:
  serving.kserve.io/autoscalerClass: {{ ternary (ternary "keda" "hpa" $rps) "none" $scaled }}
  {{- with $values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
minReplicas: {{ int64 $own.minReplicas }}
maxReplicas: {{ int64 $own.maxReplicas }}
{{- if $rps }}
autoScaling:
  metrics:
    - type: External
      external:
        metric:
          backend: prometheus
          serverAddress: {{ $values.keda.prometheus | quote }}
          query: sum(rate(rapt_request_seconds_count{namespace={{ .root.Release.Namespace | quote }},pod=~"interest-{{ .component }}-.*"}[1m]))
        target: {type: Value, value: {{ int64 $own.scaleTarget | quote }}}
{{- else }}
scaleMetric: {{ $own.scaleMetric }}
scaleTarget: {{ int64 $own.scaleTarget }}
{{- end }}
deploymentStrategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
{{ include "rapt.pod" . }}
{{- end }}

{{/* Takes {root, component}: the fields of a pod, but for containers and volumes. */}}
{{- define "rapt.pod" -}}
{{- $values := .root.Values -}}
{{- $asks := eq .component "experiments" -}}
serviceAccountName: {{ .root.Release.Name }}{{ if $asks }}-experiments{{ end }}
automountServiceAccountToken: {{ $asks }}
enableServiceLinks: false
# Beyond delay and grace: the last exposures (10 s), or the last checkpoint (8 s).
terminationGracePeriodSeconds: {{ add $values.shutdown.delaySeconds $values.shutdown.graceSeconds 20 }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with $values.images.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- if $values.topologySpread }}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{ include "rapt.selector" $ }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- end }}

{{/* Takes {root, component, image}: what every model server's container has. Its first port is the Service's 80. */}}
{{- define "rapt.server" -}}
name: kserve-container
image: {{ .image }}
imagePullPolicy: {{ .root.Values.images.pullPolicy }}
ports: [{name: http1, containerPort: 8080, protocol: TCP}, {name: grpc, containerPort: 8081, protocol: TCP}]
startupProbe: {httpGet: {path: /v2/health/live, port: 8080}, periodSeconds: 1, timeoutSeconds: 2, failureThreshold: 120}
readinessProbe: {httpGet: {path: /v2/health/ready, port: 8080}, periodSeconds: 2, timeoutSeconds: 2}
livenessProbe: {httpGet: {path: /v2/health/live, port: 8080}, periodSeconds: 15, timeoutSeconds: 5, failureThreshold: 4}
# Requests still come until every node has heard that this pod leaves.
lifecycle: {preStop: {sleep: {seconds: {{ int64 .root.Values.shutdown.delaySeconds }}}}}
resources: {{- toYaml (get .root.Values .component).resources | nindent 2 }}
securityContext: {{- include "rapt.restricted" . | nindent 2 }}
{{- end }}

{{/* Takes {root, component}. */}}
{{- define "rapt.serverArgs" -}}
- inference.{{ .component }}
- --host=0.0.0.0
- --http_port=8080
- --grpc_port=8081
- --workers={{ int64 (get .root.Values .component).workers }}
- --grace_s={{ int64 .root.Values.shutdown.graceSeconds }}
{{- end }}

{{- define "rapt.objectStoreEnv" -}}
{{- with .Values.objectStore -}}
- {name: RAPT_S3_ENDPOINT, value: {{ .endpoint | quote }}}
- {name: RAPT_S3_BUCKET, value: {{ .bucket | quote }}}
- {name: AWS_DEFAULT_REGION, value: {{ .region | quote }}}
- {name: AWS_ACCESS_KEY_ID, valueFrom: {secretKeyRef: {name: {{ .credentialsSecret }}, key: AWS_ACCESS_KEY_ID}}}
- {name: AWS_SECRET_ACCESS_KEY, valueFrom: {secretKeyRef: {name: {{ .credentialsSecret }}, key: AWS_SECRET_ACCESS_KEY}}}
{{- end }}
{{- end }}

{{/* Takes {root, component}: of the users in kafka.users, the component's. */}}
{{- define "rapt.kafkaEnv" -}}
- {name: RAPT_KAFKA_BOOTSTRAP, value: {{ .root.Values.kafka.bootstrap | quote }}}
- {name: RAPT_KAFKA_SECURITY, value: SASL_SSL}
- {name: RAPT_KAFKA_USERNAME, value: {{ get .root.Values.kafka.users .component | quote }}}
- {name: RAPT_KAFKA_PASSWORD_FILE, value: /etc/rapt/kafka/password}
- {name: RAPT_KAFKA_CA_FILE, value: /etc/rapt/kafka/ca.crt}
{{- end }}

{{/* Takes {root, component}. */}}
{{- define "rapt.kafkaVolume" -}}
- name: kafka-{{ .component }}
  projected:
    defaultMode: 0440
    sources:
      - secret: {name: {{ get .root.Values.kafka.users .component }}, items: [{key: password, path: password}]}
      - secret: {name: {{ .root.Values.kafka.caSecret }}, items: [{key: ca.crt, path: ca.crt}]}
{{- end }}

{{/* Takes {root, component, image}: the pod of predictor or explainer, which serve bundles. */}}
{{- define "rapt.bundleServer" -}}
containers:
  - {{- include "rapt.server" . | nindent 4 }}
    args:
      {{- include "rapt.serverArgs" . | nindent 6 }}
      - --model_name=interest
      {{- with .root.Values.model.digest }}
      - --model={{ . }}
      {{- end }}
    env:
      - {name: OMP_NUM_THREADS, value: "1"}
      - {name: RAPT_HOME, value: /cache}
      {{- include "rapt.objectStoreEnv" .root | nindent 6 }}
      {{- include "rapt.kafkaEnv" . | nindent 6 }}
      {{- with (get .root.Values .component).extraEnv }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    volumeMounts:
      - {name: kafka-{{ .component }}, mountPath: /etc/rapt/kafka, readOnly: true}
      - {name: cache, mountPath: /cache}
      - {name: tmp, mountPath: /tmp}
volumes:
  {{- include "rapt.kafkaVolume" . | nindent 2 }}
  - {name: cache, emptyDir: {sizeLimit: {{ .root.Values.cacheSizeLimit }}}}
  - {name: tmp, emptyDir: {sizeLimit: 256Mi}}
{{- end }}

{{/* Takes {root, component, values, module, port, env}: the Deployment of a process of the monitoring image. Optional:
{args, ready, live}: more arguments, paths of its probes. One without a user in kafka.users is given no Kafka. */}}
{{- define "rapt.worker" -}}
{{- $ready := default "/ready" .ready -}}
{{- $live := default "/live" .live -}}
{{- $kafka := hasKey .root.Values.kafka.users .component -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .root.Release.Name }}-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "rapt.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  replicas: 1
  strategy: {type: Recreate} # two would do the same work
  selector: {matchLabels: {{ include "rapt.selector" . }}}
  template:
    metadata:
      labels:
        {{- include "rapt.labels" .root | nindent 8 }}
        app.kubernetes.io/component: {{ .component }}
      {{- with .root.Values.podAnnotations }}
      annotations: {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      {{- include "rapt.pod" . | nindent 6 }}
      containers:
        - name: {{ .component }}
          image: {{ .root.Values.images.monitoring }}
          imagePullPolicy: {{ .root.Values.images.pullPolicy }}
          command: [python, -m]
          args: {{ concat (list .module "--host=0.0.0.0" (printf "--port=%v" .port)) (default list .args) | toJson }}
          ports: [{name: {{ .component }}, containerPort: {{ .port }}, protocol: TCP}]
          env:
            - {name: OMP_NUM_THREADS, value: "1"}
            {{- range $name, $value := .env }}
            - {name: {{ $name }}, value: {{ $value | quote }}}
            {{- end }}
            {{- include "rapt.objectStoreEnv" .root | nindent 12 }}
            {{- if $kafka }}
            {{- include "rapt.kafkaEnv" . | nindent 12 }}
            {{- end }}
            {{- with .values.extraEnv }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          resources: {{- toYaml .values.resources | nindent 12 }}
          securityContext: {{- include "rapt.restricted" . | nindent 12 }}
          startupProbe: {httpGet: {path: {{ $live }}, port: {{ .port }}}, periodSeconds: 1, timeoutSeconds: 2, failureThreshold: 120}
          readinessProbe: {httpGet: {path: {{ $ready }}, port: {{ .port }}}, periodSeconds: 5, timeoutSeconds: 2}
          livenessProbe: {httpGet: {path: {{ $live }}, port: {{ .port }}}, periodSeconds: 15, timeoutSeconds: 5, failureThreshold: 4}
          volumeMounts:
            {{- if $kafka }}
            - {name: kafka-{{ .component }}, mountPath: /etc/rapt/kafka, readOnly: true}
            {{- end }}
            {{- if hasKey .env "RAPT_HOME" }}
            - {name: cache, mountPath: {{ .env.RAPT_HOME }}}
            {{- end }}
            - {name: tmp, mountPath: /tmp}
      volumes:
        {{- if $kafka }}
        {{- include "rapt.kafkaVolume" . | nindent 8 }}
        {{- end }}
        {{- if hasKey .env "RAPT_HOME" }}
        - {name: cache, emptyDir: {sizeLimit: {{ .root.Values.cacheSizeLimit }}}}
        {{- end }}
        - {name: tmp, emptyDir: {sizeLimit: 256Mi}}
{{- end }}

{{/* Takes {root, component, port}: people come by `kubectl port-forward`, or through a proxy that asks who they are. */}}
{{- define "rapt.page" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ .root.Release.Name }}-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "rapt.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  selector: {{ include "rapt.selector" . }}
  ports: [{name: http, port: 80, targetPort: {{ .port }}, protocol: TCP}]
{{- end }}

{{/* Takes {peers, ports}. No rule for an empty list: a rule without peers would let everybody through. */}}
{{- define "rapt.from" -}}
{{- if .peers -}}
- from: {{- toYaml .peers | nindent 4 }}
  ports: {{ .ports | toJson }}
{{- end }}
{{- end }}

{{- define "rapt.to" -}}
{{- if .peers -}}
- to: {{- toYaml .peers | nindent 4 }}
  ports: [{port: {{ .port }}}]
{{- end }}
{{- end }}
