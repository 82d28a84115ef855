{{/*
Templates for your own Deployment, StatefulSet or Job. Each takes `.Subcharts.poolexporter` and renders a list.
*/}}

{{/* With another context, Helm would silently render nothing. */}}
{{- define "poolexporter.demandSubchart" -}}
{{- if not (and . .Values (hasKey .Values "sidecar") (hasKey .Values "volume")) }}
{{- fail "the templates of poolexporter take .Subcharts.poolexporter, or .Subcharts.ALIAS where the dependency has an alias; inside `with` and `range` $.Subcharts.poolexporter" }}
{{- end }}
{{- end }}

{{/* Below initContainers: copies the agent, and on Kubernetes 1.29 and newer runs the exporter as a native sidecar. */}}
{{- define "poolexporter.initContainers" -}}
{{- include "poolexporter.demandSubchart" . }}
{{- if .Values.enabled }}
{{- $containers := list -}}
{{- if .Values.app.inject }}
{{- $containers = append $containers (include "poolexporter.agentContainer" . | fromYaml) -}}
{{- end }}
{{- if include "poolexporter.isNative" . }}
{{- $containers = append $containers (merge (dict "restartPolicy" "Always") (include "poolexporter.besideContainer" . | fromYaml)) -}}
{{- end }}
{{- with $containers }}{{ toYaml . }}{{ end }}
{{- end }}
{{- end }}

{{/* Below containers: the exporter, if sidecars are not native. */}}
{{- define "poolexporter.containers" -}}
{{- include "poolexporter.demandSubchart" . }}
{{- if and .Values.enabled (not (include "poolexporter.isNative" .)) }}
{{- list (include "poolexporter.besideContainer" . | fromYaml) | toYaml }}
{{- end }}
{{- end }}

{{/* Below volumes. */}}
{{- define "poolexporter.volumes" -}}
{{- include "poolexporter.demandSubchart" . }}
{{- if .Values.enabled }}
- name: pool-metrics
  emptyDir:
    medium: Memory
    sizeLimit: {{ .Values.volume.sizeLimit | quote }}
{{- if .Values.app.inject }}
{{- /* A volume of its own: what the application can write, Python must never import. */}}
- name: pool-metrics-agent
  emptyDir:
    medium: Memory
    sizeLimit: 4Mi
{{- end }}
- name: pool-exporter-no-token
  emptyDir:
    sizeLimit: 1Mi
{{ include "poolexporter.containerVolumes" . }}
{{- end }}
{{- end }}

{{/* Below env of the application's container. */}}
{{- define "poolexporter.appEnv" -}}
{{- include "poolexporter.demandSubchart" . }}
{{- if .Values.enabled }}
- name: SQLALCHEMY_POOL_METRICS_DIR
  value: {{ .Values.volume.mountPath | quote }}
- name: SQLALCHEMY_POOL_METRICS_APP
  value: {{ .application | default .Values.app.name | default .Release.Name | quote }}
{{- if .Values.app.holders }}
- name: SQLALCHEMY_POOL_METRICS_HOLDERS
  value: "1"
{{- end }}
{{- if .Values.app.inject }}
- name: PYTHONPATH
  value: {{ list (include "poolexporter.agentFolder" .) .Values.app.pythonPath | compact | join ":" | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* Below volumeMounts of the application's container. */}}
{{- define "poolexporter.appVolumeMounts" -}}
{{- include "poolexporter.demandSubchart" . }}
{{- if .Values.enabled }}
- name: pool-metrics
  mountPath: {{ .Values.volume.mountPath }}
{{- if .Values.app.inject }}
- name: pool-metrics-agent
  mountPath: {{ include "poolexporter.agentFolder" . }}
  readOnly: true
{{- end }}
{{- end }}
{{- end }}

{{- define "poolexporter.agentFolder" -}}
{{ .Values.volume.mountPath }}-agent
{{- end }}

{{- define "poolexporter.agentContainer" -}}
name: pool-metrics-agent
image: {{ include "poolexporter.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
command: [python, -m, sqlalchemy_pool_metrics, export, --never-fail, {{ include "poolexporter.agentFolder" . }}]
resources:
  {{- toYaml .Values.injectResources | nindent 2 }}
securityContext:
  {{- include "poolexporter.securityContext" . | nindent 2 }}
volumeMounts:
  - name: pool-metrics-agent
    mountPath: {{ include "poolexporter.agentFolder" . }}
  - {{- include "poolexporter.noTokenMount" . | nindent 4 }}
{{- end }}

{{/*
An empty folder in place of the service account's token, for our containers alone: automountServiceAccountToken would also
take it from the application. Kubernetes mounts no token into a container that has a mount at this path.
*/}}
{{- define "poolexporter.noTokenMount" -}}
name: pool-exporter-no-token
mountPath: /var/run/secrets/kubernetes.io/serviceaccount
readOnly: true
{{- end }}

{{/* The exporter's container with access to the application's pools. */}}
{{- define "poolexporter.besideContainer" -}}
{{- $container := include "poolexporter.container" . | fromYaml -}}
{{- $env := dict "name" "POOL_EXPORTER_APP__DIR" "value" .Values.volume.mountPath -}}
{{- $mount := dict "name" "pool-metrics" "mountPath" .Values.volume.mountPath "readOnly" true -}}
{{- $_ := set $container "env" (prepend $container.env $env) -}}
{{- $noToken := include "poolexporter.noTokenMount" . | fromYaml -}}
{{- $_ := set $container "volumeMounts" (append (prepend $container.volumeMounts $mount) $noToken) -}}
{{ toYaml $container }}
{{- end }}
